"""What Prometheus reads of the server, in its text format: `/metrics`."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.rollup import Bucket, status_counts
from execlog.history.statistics import Open, count_open
from execlog.history.view import dollars
from execlog.kind import Call, Reply
from execlog.ledger import Ledger
from execlog.store.base import Group
from execlog.web.feed import Feeds
from execlog.web.health import is_shedding, standing_of
from execlog.web.release import release
from execlog.web.requests import Requests

SECONDS_TO_KEEP, RESTS = 2.0, 9
Sample = tuple[dict[str, str], object]


class Metrics:
    """The handler of `/metrics`. It answers without the store too: then more than ever is to be watched."""

    def __init__(self, ledger: Ledger, feeds: Feeds, requests: Requests) -> None:
        self._ledger = ledger
        self._feeds = feeds
        self._requests = requests
        self._kept: tuple[float, tuple[list[Group], Open]] | None = None

    def tell(self, call: Call) -> Reply:
        """Executions kept by kind and status, those that are open, the journals of the home, counters of requests."""
        del call
        lines = (*self._of_executions(), *self._of_recorder(), *self._of_home(), *self._of_server(), *_of_process())
        return Reply("\n".join((*lines, "")).encode(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _of_executions(self) -> Iterator[str]:
        """What is kept: gauges, since removing executions lowers them."""
        try:
            groups, going = self._known()
        except StoreError:
            yield from family("execlog_store_up", "gauge", "Whether the store answers", [({}, 0)])
            return
        yield from family("execlog_store_up", "gauge", "Whether the store answers", [({}, 1)])
        ended: list[Sample] = [
            ({"kind": str(group.key), "status": status.value}, number)
            for group in groups
            for status, number in status_counts(group.bucket).items()
        ]
        yield from family("execlog_executions", "gauge", "Executions kept that ended, by how", ended)
        counts: list[Sample] = [({"status": "running"}, going.running), ({"status": "queued"}, going.queued)]
        yield from family("execlog_open_executions", "gauge", "Executions that have not ended", counts)
        for name, about, sum_of in _SUMS:
            samples: list[Sample] = [({"kind": str(group.key)}, sum_of(group.bucket)) for group in groups]
            yield from family(name, "gauge", about, samples)

    def _of_recorder(self) -> Iterator[str]:
        stats = self._ledger.stats()
        for name, type_, about, number in (
            ("records_accepted", "counter", "Records this process took in", stats.accepted),
            ("records_stored", "counter", "Records this process took in that the store has", stats.stored),
            ("records_pending", "gauge", "Records this process took in that wait for the store", stats.pending),
        ):
            yield from family(f"execlog_{name}", type_, about, [({}, number)])
        for name, about, counts in (
            ("dropped", "Records this process did not take in, by worth: its journal was full", stats.dropped),
            ("mended", "Parts of records of this process made storable, by why", stats.mended),
            ("refused", "Records this process could not record, by why", stats.refused),
        ):
            samples: list[Sample] = [({"reason": reason}, number) for reason, number in sorted(counts.items())]
            yield from family(f"execlog_records_{name}", "counter", about, samples)

    def _of_home(self) -> Iterator[str]:
        """The journals of all processes of the home, which this one empties into the store."""
        standing = standing_of(self._ledger)
        alive = standing.journals - standing.abandoned
        journals: list[Sample] = [({"writer": "alive"}, alive), ({"writer": "gone"}, standing.abandoned)]
        yield from family("execlog_journals", "gauge", "Journals of the home", journals)
        yield from family("execlog_journal_bytes", "gauge", "What they take on disk", [({}, standing.size)])
        progress, start, outcome = standing.losses.shed
        lost: list[Sample] = [
            ({"reason": reason}, number)
            for reason, number in (
                ("progress", progress), ("start", start), ("outcome", outcome), ("damaged", standing.losses.lost),
            )
        ]  # fmt: skip
        about = "Records of the home that will not come into the store: shed, by worth, or damaged"
        yield from family("execlog_lost_records", "counter", about, lost)
        about = "Whether this process drops records: its journal cannot grow"
        yield from family("execlog_journal_shedding", "gauge", about, [({}, int(is_shedding(self._ledger)))])
        at = self._ledger.drained_at
        drained: list[Sample] = [] if at is None else [({}, f"{at:.3f}")]
        about = "When the store last took what this process had for it, if only nothing: Unix time"
        yield from family("execlog_last_drain_timestamp_seconds", "gauge", about, drained)

    def _of_server(self) -> Iterator[str]:
        samples: list[Sample] = [
            ({"method": method, "path": path, "status": str(status)}, number)
            for (method, path, status), number in sorted(self._requests.answered.copy().items())
        ]
        yield from family("execlog_http_requests", "counter", "Requests answered, by route and status", samples)
        yield from family("execlog_live_clients", "gauge", "Open streams of live updates", [({}, self._feeds.clients)])
        build = {"version": release(), "python": platform.python_version()}
        yield from family("execlog_build_info", "gauge", "Which execlog this is", [(build, 1)])

    def _known(self) -> tuple[list[Group], Open]:
        """Sums of all time by kind, and what is open, as they were lately: asking too often costs nothing.

        Where the store reads all it keeps for them, they are kept for as long as makes that a tenth of its time.
        """
        now = self._ledger.clock.monotonic
        began = now()
        if self._kept is None or began > self._kept[0]:
            store = self._ledger.store
            found = store.stats(Filter(), group_by="kind"), count_open(store, Filter())
            ended = now()
            self._kept = ended + max(SECONDS_TO_KEEP, RESTS * (ended - began)), found
        return self._kept[1]


_SUMS: tuple[tuple[str, str, Callable[[Bucket], object]], ...] = (
    ("execlog_timed_executions", "Executions kept of which it is known how long they took", lambda sums: sums.timed),
    ("execlog_duration_seconds", "Seconds they took in all", lambda sums: f"{sums.duration_micros / 1e6:.6f}"),
    ("execlog_rows", "Rows the executions kept processed", lambda sums: sums.rows),
    ("execlog_tokens_input", "Tokens they sent to models", lambda sums: sums.tokens_input),
    ("execlog_tokens_output", "Tokens models gave them", lambda sums: sums.tokens_output),
    ("execlog_cost_usd", "US dollars their models cost", lambda sums: dollars(sums.cost_nano)),
)


def _of_process() -> Iterator[str]:
    """What Prometheus' own clients tell of their process, under their names."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        system = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone
    except OSError:
        return
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    booted = next(int(line.split()[1]) for line in system if line.startswith("btime"))
    started = booted + int(fields[19]) / tick
    spent = sum(map(int, fields[11:13])) / tick
    for name, type_, about, number in (
        ("process_cpu_seconds", "counter", "CPU time, of user and system", f"{spent:.2f}"),
        ("process_resident_memory_bytes", "gauge", "Resident memory", int(fields[21]) * page),
        ("process_open_fds", "gauge", "Open file descriptors", files),
        ("process_start_time_seconds", "gauge", "When the process began, Unix time", f"{started:.2f}"),
    ):
        yield from family(name, type_, about, [({}, number)])


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
