"""Whether the server does its work: `/healthz`, and `/metrics` in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from msgspec import Struct

from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.rollup import Bucket, status_counts
from execlog.history.statistics import Open, count_open
from execlog.history.view import dollars
from execlog.kind import Call, Reply
from execlog.ledger import Ledger
from execlog.store.base import Group
from execlog.web.feed import Feeds
from execlog.web.release import release
from execlog.web.requests import Requests

SECONDS_TO_KEEP = 2.0
Sample = tuple[dict[str, str], object]


class HealthView(Struct, frozen=True, kw_only=True):
    """status "ok", or "down" where the store does not answer; recording goes on meanwhile, into the journal.

    pending     records of this process the store does not have yet
    dropped     records that were not taken, ever: the journal was full
    """

    status: Literal["ok", "down"]
    version: str
    store: Literal["reachable", "unreachable"]
    pending: int
    dropped: int
    journal_bytes: int
    live_clients: int


class Health:
    """The handlers that watch over the server."""

    def __init__(self, ledger: Ledger, feeds: Feeds, requests: Requests) -> None:
        self._ledger = ledger
        self._feeds = feeds
        self._requests = requests
        self._kept: tuple[float, tuple[list[Group], Open]] | None = None

    def check(self, call: Call) -> Reply:
        """The state of the store and of the journal: 200, or 503 where the store does not answer."""
        del call
        try:
            self._ledger.store.changes(-1, limit=1)
            reachable = True
        except StoreError:
            reachable = False
        stats = self._ledger.stats()
        seen = HealthView(
            status="ok" if reachable else "down",
            version=release(),
            store="reachable" if reachable else "unreachable",
            pending=stats.pending,
            dropped=sum(stats.dropped.values()),
            journal_bytes=stats.journal_bytes,
            live_clients=self._feeds.clients,
        )
        return Reply(seen, status=200 if reachable else 503)

    def metrics(self, call: Call) -> Reply:
        """Executions kept by kind and status, those that are open, the journal, and counters of requests."""
        del call
        text = "\n".join((*self._of_executions(), *self._of_recorder(), *self._of_server(), ""))
        return Reply(text.encode(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _of_executions(self) -> Iterator[str]:
        """What is kept: gauges, since removing executions lowers them."""
        groups, going = self._known()
        ended: list[Sample] = [
            ({"kind": str(group.key), "status": status.value}, number)
            for group in groups
            for status, number in status_counts(group.bucket).items()
        ]
        yield from family("execlog_executions", "gauge", "Executions kept that ended, by how", ended)
        counts: list[Sample] = [({"status": "running"}, going.running), ({"status": "queued"}, going.queued)]
        yield from family("execlog_open_executions", "gauge", "Executions that have not ended", counts)
        yield from family("execlog_duration_seconds", "summary", "Seconds executions kept took", _durations(groups))
        for name, about, sum_of in _SUMS:
            samples: list[Sample] = [({"kind": str(group.key)}, sum_of(group.bucket)) for group in groups]
            yield from family(name, "gauge", about, samples)

    def _of_recorder(self) -> Iterator[str]:
        stats = self._ledger.stats()
        yield from family("execlog_records_accepted", "counter", "Records this process took in", [({}, stats.accepted)])
        yield from family("execlog_records_stored", "counter", "… that the store has", [({}, stats.stored)])
        for name, about, counts in (
            ("dropped", "Records that were not taken, by why", stats.dropped),
            ("mended", "Parts of records made storable, by why", stats.mended),
            ("refused", "Records that could not be recorded, by why", stats.refused),
        ):
            samples: list[Sample] = [({"reason": reason}, number) for reason, number in sorted(counts.items())]
            yield from family(f"execlog_records_{name}", "counter", about, samples)
        yield from family("execlog_records_pending", "gauge", "Records waiting for the store", [({}, stats.pending)])
        yield from family(
            "execlog_journal_bytes", "gauge", "Size of this process's journal", [({}, stats.journal_bytes)]
        )

    def _of_server(self) -> Iterator[str]:
        samples: list[Sample] = [
            ({"method": method, "path": path, "status": str(status)}, number)
            for (method, path, status), number in sorted(self._requests.answered.copy().items())
        ]
        yield from family("execlog_http_requests", "counter", "Requests answered, by route and status", samples)
        yield from family("execlog_live_clients", "gauge", "Open streams of live updates", [({}, self._feeds.clients)])

    def _known(self) -> tuple[list[Group], Open]:
        """Sums of all time by kind, and what is open, at most `SECONDS_TO_KEEP` old: asking too often costs nothing."""
        now = self._ledger.clock.monotonic()
        if self._kept is None or now - self._kept[0] > SECONDS_TO_KEEP:
            store = self._ledger.store
            self._kept = now, (store.stats(Filter(), group_by="kind"), count_open(store, Filter()))
        return self._kept[1]


_SUMS: tuple[tuple[str, str, Callable[[Bucket], object]], ...] = (
    ("execlog_rows", "Rows the executions kept processed", lambda bucket: bucket.rows),
    ("execlog_tokens_input", "Tokens they sent to models", lambda bucket: bucket.tokens_input),
    ("execlog_tokens_output", "Tokens models gave them", lambda bucket: bucket.tokens_output),
    ("execlog_cost_usd", "US dollars their models cost", lambda bucket: dollars(bucket.cost_nano)),
)


def _durations(groups: list[Group]) -> Iterator[Sample]:
    for group in groups:
        yield {"kind": str(group.key), "": "_sum"}, f"{group.bucket.duration_micros / 1e6:.6f}"
        yield {"kind": str(group.key), "": "_count"}, group.bucket.timed


def family(name: str, type_: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    """The lines of one metric; a counter's name ends in `_total`, a sample's label "" in more of its own name."""
    if type_ == "counter":
        name += "_total"
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {type_}"
    for labels, value in samples:
        whole = name + labels.get("", "")
        written = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items() if label)
        yield f"{whole}{{{written}}} {value}" if written else f"{whole} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
