"""Whether the server does its work: `/healthz`, and `/metrics` in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.rollup import Bucket, status_counts
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
        self._kept: tuple[float, list[Group]] | None = None

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
        """Counters of executions by kind and status, of the journal, and of requests."""
        del call
        text = "\n".join((*self._of_executions(), *self._of_recorder(), *self._of_server(), ""))
        return Reply(text.encode(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _of_executions(self) -> Iterator[str]:
        groups = self._groups()
        ended: list[Sample] = [
            ({"kind": str(group.key), "status": status.value}, number)
            for group in groups
            for status, number in status_counts(group.bucket).items()
        ]
        yield from family("execlog_executions", "counter", "Executions that ended, of everything kept", ended)
        sums = [(str(group.key), _sums(group.bucket)) for group in groups]
        for name, (about, _) in _sums(Bucket()).items():
            yield from family(name, "counter", about, [({"kind": kind}, summed[name][1]) for kind, summed in sums])

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

    def _groups(self) -> list[Group]:
        """Sums of all time by kind, at most `SECONDS_TO_KEEP` old: a scraper that asks too often costs nothing."""
        now = self._ledger.clock.monotonic()
        if self._kept is None or now - self._kept[0] > SECONDS_TO_KEEP:
            self._kept = now, self._ledger.store.stats(Filter(), group_by="kind")
        return self._kept[1]


def _sums(bucket: Bucket) -> dict[str, tuple[str, object]]:
    """What is summed over executions: metric → what it is about, and its value."""
    return {
        "execlog_duration_seconds_sum": ("Seconds executions took", f"{bucket.duration_micros / 1e6:.6f}"),
        "execlog_duration_seconds_count": ("Executions whose duration is known", bucket.timed),
        "execlog_rows": ("Rows executions processed", bucket.rows),
        "execlog_tokens_input": ("Tokens sent to models", bucket.tokens_input),
        "execlog_tokens_output": ("Tokens models gave", bucket.tokens_output),
        "execlog_cost_dollars": ("US dollars models cost", dollars(bucket.cost_nano)),
    }


def family(name: str, type_: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    """The lines of one metric; a counter's name ends in `_total`."""
    if type_ == "counter" and not name.endswith(("_sum", "_count")):
        name += "_total"
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {type_}"
    for labels, value in samples:
        written = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        yield f"{name}{{{written}}} {value}" if written else f"{name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
