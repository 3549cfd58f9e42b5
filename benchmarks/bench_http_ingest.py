"""Ingest over HTTP: NDJSON batches of 1,000 acknowledged as durable (201) by one `execlog serve` on SQLite.

The clients are on the same machine and have their bodies ready. "acknowledged" counts until the last 201, "stored"
until all of it is readable. Then single records, one request each; and what each stage of the server's work takes of
the CPU of a record, measured in one thread, stage after stage over the same batches. Target: 20,000 records/s
acknowledged.

    bench_http_ingest.py [--records 60000] [--singles 1000] [--clients 2] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest.mock import patch

import msgspec
from generator import batches
from report import Report, percentile
from serving import Client, Served, execlog_serve

from execlog.core import codec
from execlog.core.model import Error, Event, Item
from execlog.core.settings import load
from execlog.history import intake
from execlog.recorder.journal import Worth
from execlog.recorder.recorder import Recorder
from execlog.store.sqlite import SQLiteStore, contents, writing

BATCH, TARGET = 1_000, 20_000.0
PER_DAY = 1_000_000
"""How densely the executions lie: a batch spans a minute and a half."""
NDJSON, PATH = "application/x-ndjson", "/api/executions?durable=true"
P = ParamSpec("P")
R = TypeVar("R")


def bodies(records: int, size: int = BATCH) -> list[bytes]:
    """NDJSON of so many of the generator's executions, as another language would say them."""
    return [
        b"\n".join(line(event) for event in events) for events in batches(records, size=size, days=records / PER_DAY)
    ]


def line(event: Event) -> bytes:
    """What a client says about an execution."""
    said: dict[str, object] = {
        "id": event.id, "kind": event.kind, "status": event.status, "name": event.name, "subject": event.subject,
        "actor": event.actor, "engine": event.engine, "started_at": iso(event.started_at),
        "ended_at": iso(event.ended_at), "duration": event.duration, "rows": event.rows, "error": error(event.error),
        "input": event.input, "params": event.params, "metadata": event.metadata,
        "items": [item(one) for one in event.items] or None,
    }  # fmt: skip
    if event.namespace:
        said["namespace"] = event.namespace
    return msgspec.json.encode({name: value for name, value in said.items() if value is not None})


def item(one: Item) -> dict[str, object]:
    """An item in a client's words."""
    said = {"key": one.key, "status": one.status, "duration": one.duration, "rows": one.rows, "error": error(one.error)}
    return {name: value for name, value in said.items() if value is not None}


def error(said: Error | None) -> dict[str, object] | None:
    """An error in a client's words."""
    return said and {"type": said.type, "message": said.message, "frames": said.frames}


def iso(micros: int | None) -> str | None:
    """UTC µs in ISO 8601."""
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, UTC).isoformat()


def post(served: Served, given: list[bytes], clients: int) -> list[float]:
    """Seconds each request took, the bodies shared among so many clients; returns after the last answer."""
    took: list[float] = []
    waiting = iter(given)

    def work() -> None:
        client = Client(served.port)
        for body in waiting:
            began = time.perf_counter()
            client.post(PATH, body, NDJSON)
            took.append(time.perf_counter() - began)
        client.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == len(given), "a client failed"
    return took


def until_stored(served: Served, records: int) -> None:
    """Return once so many executions are readable."""
    client = Client(served.port)
    while msgspec.json.decode(client.get("/api/executions?limit=1&count=true"))["total"] < records:
        time.sleep(0.02)
    client.close()


def served_batches(given: list[bytes], clients: int) -> dict[str, float]:
    """Figures of one run over a new home: records/s acknowledged and stored, µs of CPU a record, p99 of a request."""
    records = sum(body.count(b"\n") + 1 for body in given)
    with tempfile.TemporaryDirectory() as home, execlog_serve(f"sqlite:///{home}/x.db", Path(home)) as served:
        cpu, began = served.cpu(), time.perf_counter()
        took = post(served, given, clients)
        acknowledged = time.perf_counter() - began
        until_stored(served, records)
        stored = time.perf_counter() - began
        return {
            "acknowledged": records / acknowledged,
            "stored": records / stored,
            "cpu": (served.cpu() - cpu) / records * 1e6,
            "p99": percentile(took, 0.99) * 1e3,
        }


def over_http(report: Report, options: argparse.Namespace) -> None:
    """Report what a server takes in, in batches and one by one; the two take turns."""
    many, one_by_one = bodies(options.records), bodies(options.singles, size=1)
    found: dict[str, list[dict[str, float]]] = {"batches of 1,000": [], "single records": []}
    for _ in range(options.rounds):
        found["batches of 1,000"].append(served_batches(many, options.clients))
        found["single records"].append(served_batches(one_by_one, options.clients))
    for name, runs in found.items():
        target = {"at_least": TARGET} if name == "batches of 1,000" else {}
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        report.add(f"{name}, acknowledged durable", median["acknowledged"], "records/s", **target)
        report.add(f"{name}, readable", median["stored"], "records/s")
        report.add(f"{name}, server CPU", median["cpu"], "µs/record")
        report.add(f"{name}, p99 of a request", median["p99"], "ms")


class Stages:
    """CPU seconds of this thread by stage; what an inner stage takes is not counted to the outer one."""

    def __init__(self) -> None:
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, stage: str, function: Callable[P, R]) -> Callable[P, R]:
        """The function, counted to a stage."""

        def run(*arguments: P.args, **named: P.kwargs) -> R:
            self._inner.append(0.0)
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                took = time.thread_time() - began
                self.cpu[stage] += took - self._inner.pop()
                self._inner[-1] += took

        return run


def stages_of(given: list[bytes], folder: Path) -> dict[str, float]:
    """CPU seconds of each stage for these batches, without HTTP."""
    stages = Stages()
    settings = load({}, home=str(folder), journal_segment=64 * 2**20, journal_cap=2**40)
    recorder, store = Recorder(settings, folder / "journal"), SQLiteStore(folder / "x.db")

    def redact(events: list[Event]) -> list[Event]:
        # What Recorder.append does before it encodes.
        return [event if recorder._is_clean(event) else recorder._redacted(event) for event in events]  # noqa: SLF001 - the benchmark looks inside

    def journal(events: list[Event]) -> list[bytes]:
        payloads = [codec.encode(event) for event in events]
        for payload in payloads:
            recorder._take(payload, Worth.OUTCOME)  # noqa: SLF001 - as Recorder.append does
        return payloads

    patches = {
        (writing, "_tell"): "fold", (writing, "group"): "fold", (writing, "merge"): "fold",
        (writing, "sum_tail"): "statistics", (contents.buckets, "add"): "statistics",
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        for (module, name), stage in patches.items():
            stack.enter_context(patch.object(module, name, stages.timed(stage, getattr(module, name))))
        for body in given:
            said = stages.timed("parse", lambda body: [intake.read(one) for one in body.split(b"\n")])(body)
            meant = stages.timed("validate", lambda said: [intake.event_of(one, id_="", at=1) for one in said])(said)
            clean = stages.timed("redact", redact)(meant)
            payloads = stages.timed("journal", journal)(clean)
            stages.timed("fsync", recorder.sync)()
            events = stages.timed("read the journal", lambda payloads: list(map(_decode, payloads)))(payloads)
            stages.timed("store", store.apply)(events)
    store.close()
    if recorder.journal is not None:
        recorder.journal.close(remove=True)
    return stages.cpu


_decode = msgspec.msgpack.Decoder(Event).decode


def shares(report: Report, records: int, rounds: int) -> None:
    """Report the CPU of each stage a record, and its share; medians of rounds."""
    given = bodies(records)
    runs: list[dict[str, float]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(stages_of(given, Path(folder)))
    medians = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    for stage, seconds in medians.items():
        report.add(f"stage {stage}", seconds / records * 1e6, "µs/record")
        report.add(f"stage {stage}, share", 100 * seconds / sum(medians.values()), "% of CPU")


def main() -> int:
    """The exit code: 0 where the target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--singles", type=int, default=1_000)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    report = Report("bench_http_ingest")
    over_http(report, options)
    shares(report, min(options.records, 20_000), options.rounds)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
