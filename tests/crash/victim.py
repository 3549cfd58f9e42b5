"""The process that dies: it works on a history, and notes in a file outside of it what was acknowledged.

    python victim.py '{"home": …, "store": …, "acks": …, "tag": …, …}'        one victim
    python victim.py                                                          forks one for each task on stdin

A task says what its `work` is (a name in WORKS). To record, it says `how` (a name in HOW), `threads`, `count` (0: until
it is killed), the `pause` in seconds after every eighth record, whether it `flushes` in the end, and how it `ends` (in
ENDS). With `waits` it begins when it gets SIGUSR1, so that a tracer may attach before; its files grow to `grows_to`
bytes at most; SIGUSR2 interrupts it, and means nothing.
The file of acknowledgements has a 64-bit counter for each thread: how many of its records were acknowledged; the last
one says how many were accepted, the one before that the work came to its end.
"""

from __future__ import annotations

import importlib
import itertools
import json
import mmap
import os
import resource
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from execlog.core.model import Error, Event, Item, Status, Usage
from execlog.core.settings import load
from execlog.history.retention import remove_before
from execlog.ledger import Ledger
from execlog.store.opening import open_store

COUNTER = struct.Struct("@Q")
SLOTS = 64
ACCEPTED, ENDED = SLOTS - 1, SLOTS - 2
PAUSE_EVERY, PAUSE_SECONDS = 8, 0.001
DAY = 86_400_000_000
BATCH = 4


class Acknowledged:
    """The counters, in a file that was allocated before.

    Each is written by one store of the processor, so that a kill finds the old count or the new one: `pack_into` fills
    what it writes to with zeros first.
    """

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._counters = memoryview(mmap.mmap(file.fileno(), SLOTS * COUNTER.size)).cast("Q")

    def note(self, slot: int, count: int) -> None:
        self._counters[slot] = count


def plainly(ledger: Ledger, name: str, tag: str) -> None:
    ledger.record("victim", id=name, subject=tag, started_at=1, ended_at=2 + 1000 * number_of(name), rows=1)


def durably(ledger: Ledger, name: str, tag: str, **more: object) -> None:
    while not ledger.append_durable(event(ledger, name, tag, **more)):
        time.sleep(0.001)


def largely(ledger: Ledger, name: str, tag: str) -> None:
    """As `durably`, so large that a few fill a segment."""
    durably(ledger, name, tag, metadata={"text": name.ljust(5000, "x")})


def surely(ledger: Ledger, name: str, tag: str, **more: object) -> None:
    while not ledger.append(event(ledger, name, tag, **more)):
        time.sleep(0.001)


def number_of(name: str) -> int:
    """Which of its thread's records it is: they take different times, and cost different sums."""
    return int(name.rpartition(".")[2])


def event(ledger: Ledger, name: str, tag: str, **more: object) -> Event:
    said = {"status": Status.SUCCEEDED, "subject": tag, "started_at": 1, "ended_at": 2 + number_of(name), "rows": 1}
    return Event(id=name, kind="task", at=ledger.recorder.stamp(), **(said | more))


def in_runs(ledger: Ledger, name: str, tag: str) -> None:
    with ledger.run("victim", id=name, subject=tag) as run:
        for item in run.items(["a", "b"]):
            with item:
                item.rows(1)
        run.log("done")


def mixed(ledger: Ledger, name: str, tag: str) -> None:
    kind = number_of(name) % 8
    if kind == 0:
        in_runs(ledger, name, tag)
    elif kind == 1:
        ledger.record("victim", id=name, subject=tag, status="failed", error="refused: " + "x" * 3000, rows=1)
    elif kind == 2:
        ledger.record("victim", id=name, subject=tag, metadata={"text": name * 20}, rows=1)
    elif kind == 3:
        spent = Usage(kind, number_of(name), cost_nano=number_of(name), prices="a test's")
        surely(ledger, name, tag, usage={"a model": spent})
    else:
        plainly(ledger, name, tag)


def counted(ledger: Ledger, name: str, tag: str) -> bool:
    """As `surely`, but what is shed stays shed: how many were accepted is in the last counter."""
    return ledger.append(event(ledger, name, tag))


HOW = {
    "counted": counted, "plainly": plainly, "durably": durably, "largely": largely, "surely": surely,
    "in_runs": in_runs, "mixed": mixed,
}  # fmt: skip


def work(ledger: Ledger, task: dict, slot: int, acknowledged: Acknowledged) -> None:
    record, tag, count = HOW[task.get("how", "plainly")], task["tag"], task.get("count", 0)
    done = accepted = 0
    while not count or done < count:
        if record(ledger, f"{tag}.{slot}.{done}", tag):
            accepted += 1
            acknowledged.note(ACCEPTED, accepted)
        done += 1
        acknowledged.note(slot, done)
        if done % PAUSE_EVERY == 0:
            time.sleep(task.get("pause", PAUSE_SECONDS))


def settings_of(task: dict):
    return load({}, home=task["home"], store=task["store"], **task.get("settings", {}))


def open_ledger(task: dict) -> Ledger:
    return Ledger.open(settings=settings_of(task), drains_home=task.get("work") == "serve")


def record_on(task: dict, acknowledged: Acknowledged) -> None:
    """Record in several threads, as a caller does."""
    ledger = open_ledger(task)
    first = task.get("slot", 0)
    threads = [
        threading.Thread(target=work, args=(ledger, task, first + number, acknowledged), daemon=True)
        for number in range(1, task.get("threads", 1))
    ]
    for thread in threads:
        thread.start()
    END_BEFORE.get(task.get("ends", ""), lambda: None)()
    work(ledger, task, first, acknowledged)
    for thread in threads:
        thread.join()
    if task.get("flushes"):
        assert ledger.flush(60)
    ENDS.get(task.get("ends", ""), lambda: None)()


def serve(task: dict, acknowledged: Acknowledged) -> None:
    """Empty the journals of everybody in the home."""
    del acknowledged
    ledger = open_ledger(task)
    say("serving")
    signal.pause()
    ledger.close()


def apply(task: dict, acknowledged: Acknowledged) -> None:
    """Put batches into the store itself: each starts its executions, and ends those of the batch before."""
    store = open_store(task["store"], settings_of(task))
    for number in itertools.count():
        done = number * BATCH
        if done >= task["count"]:
            return
        store.apply(
            [*started(task["tag"], done), *(ended(task["tag"], each) for each in range(max(done - BATCH, 0), done))]
        )
        acknowledged.note(0, done + BATCH)


def started(tag: str, first: int) -> Iterator[Event]:
    for number in range(first, first + BATCH):
        items = (Item(key="a", at=1, status=Status.RUNNING), Item(key="b", at=1, status=Status.SUCCEEDED, rows=1))
        yield Event(
            id=f"{tag}.0.{number}", kind="task", at=number + 1, status=Status.RUNNING, subject=tag,
            started_at=1 + number, items=items,
        )  # fmt: skip


def ended(tag: str, number: int) -> Event:
    error = Error("Refused", "refused: " + "x" * 1000) if number % 3 == 0 else None
    return Event(
        id=f"{tag}.0.{number}", kind="task", at=number + 1000, status=Status.FAILED if error else Status.SUCCEEDED,
        subject=tag, started_at=1 + number, ended_at=2000, rows=1, error=error,
    )  # fmt: skip


def drain(task: dict, acknowledged: Acknowledged) -> None:
    """Take the journals of dead processes into the store."""
    ledger = open_ledger(task)
    acknowledged.note(0, 0)
    while ledger.drain_dead():
        pass


def old(tag: str, number: int) -> Event:
    """One of ten an hour, from the first day of 1970 on."""
    at = number * DAY // 10 + DAY
    return Event(
        id=f"{tag}.0.{number}", kind="task", at=at, subject=tag, status=Status.SUCCEEDED, started_at=at,
        ended_at=at + 1 + number, rows=1, items=(Item(key="a", at=at, status=Status.SUCCEEDED),),
    )  # fmt: skip


def prune(task: dict, acknowledged: Acknowledged) -> None:
    """Remove what is older than a moment, as `execlog prune` does; what is acknowledged is that all of it is gone."""
    store = open_store(task["store"], settings_of(task))
    remove_before(store, task["before"])
    acknowledged.note(0, 1)
    store.close()


def prune_on(task: dict, acknowledged: Acknowledged) -> None:
    """Remove a day's worth after the other; what is acknowledged is the day up to which all is gone."""
    store = open_store(task["store"], settings_of(task))
    for day in range(task["first"], task["last"]):
        remove_before(store, (day + 1) * DAY)
        acknowledged.note(0, day)


def copy(task: dict, acknowledged: Acknowledged) -> None:
    """Copy what has this tag, as `execlog copy` does; what is acknowledged is how many the target is said to have."""
    from execlog.core.filter import Filter
    from execlog.history.copying import copy_executions

    source, target = (open_store(task[name], settings_of(task)) for name in ("source", "store"))
    copy_executions(source, target, Filter(subject=task["tag"]), progress=lambda done: acknowledged.note(0, done))


def schedule(task: dict, acknowledged: Acknowledged) -> None:
    """Run the jobs of the store until it is killed."""
    from execlog.kinds.jobs import SchedulerServingApp

    del acknowledged
    SchedulerServingApp(open_ledger(task)).start_scheduler(lease=1.0, poll=0.05)
    signal.pause()


def mark(path: str) -> None:
    """What a job runs: note outside of execlog that this execution ran."""
    import execlog

    run = execlog.current_run()
    assert run is not None
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{run.id}\n".encode())
    os.close(file)


def rebuild(task: dict, acknowledged: Acknowledged) -> None:
    """Open a store whose index is gone, then put batches into it."""
    store = open_store(task["store"], settings_of(task))
    for number in itertools.count():
        store.apply([old(task["tag"], number * BATCH + each) for each in range(BATCH)])
        acknowledged.note(0, (number + 1) * BATCH)


def migrate(task: dict, acknowledged: Acknowledged) -> None:
    """Bring the store, or one of `urls` after the other, to this version's schema."""
    from execlog.store.migrating import migrate as bring_up

    for number, url in enumerate(task.get("urls", [task["store"]])):
        bring_up(url, settings_of(task))
        acknowledged.note(0, number + 1)


def export(task: dict, acknowledged: Acknowledged) -> None:
    """Write everything into a file."""
    from execlog.cli.main import main

    where = ["--home", task["home"], "--store", task["store"]]
    if main(["export", "--ndjson", "--output", task["target"], *where]) == 0:
        acknowledged.note(0, 1)


def time_calls(task: dict, acknowledged: Acknowledged) -> None:
    """Record `count` at `rate` a second (0: as fast as it goes), wait until the store has it, write a report."""
    ledger, tag, accepted = open_ledger(task), task["tag"], 0
    took: list[int] = []
    ledger.record("warm", id=f"{tag}.warm", subject="warm")
    before, resident_before = memory_kib("RssAnon"), memory_kib("VmRSS")
    began = time.perf_counter()
    for number in range(task["count"]):
        rate = task.get("rate", 0)
        if rate and number % PAUSE_EVERY == 0:
            time.sleep(max(began + number / rate - time.perf_counter(), 0))
        said = event(ledger, f"{tag}.0.{number}", tag)
        start = time.perf_counter_ns()
        taken = ledger.append(said)
        took.append(time.perf_counter_ns() - start)
        accepted += taken
        acknowledged.note(0, number + 1)
        acknowledged.note(ACCEPTED, accepted)
    recorded = time.perf_counter() - began
    noted = len(took) * 40 // 1024  # what this list takes itself
    grown, resident_grown = memory_kib("RssAnon") - before - noted, memory_kib("VmRSS") - resident_before - noted
    began = time.perf_counter()
    flushed = ledger.flush(task.get("patience", 90.0))
    drained = time.perf_counter() - began
    stats = ledger.stats()
    # The first call after a sleep finds the processor's caches cold: so does building, encoding and storing by hand.
    warm = sorted(took[number] for number in range(len(took)) if number % PAUSE_EVERY)
    took.sort()
    report = {
        "accepted": accepted, "stored": stats.stored, "aside": stats.aside, "dropped": sum(stats.dropped.values()),
        "flushed": flushed, "recorded_seconds": recorded, "drained_seconds": drained, "grown_kib": grown,
        "resident_grown_kib": resident_grown,
        "p50_us": took[len(took) // 2] / 1e3, "p99_us": took[len(took) * 99 // 100] / 1e3,
        "warm_p99_us": warm[len(warm) * 99 // 100] / 1e3, "max_us": took[-1] / 1e3,
        "journal_bytes": stats.journal_bytes,
    }  # fmt: skip
    Path(task["report"]).write_text(json.dumps(report))


def memory_kib(what: str) -> int:
    """Memory of this process: `VmRSS` all that is resident, `RssAnon` what of it no file stands for."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


IMPORTED = (
    "execlog.store.sqlite", "execlog.store.sqlite.store", "execlog.store.files.store", "execlog.store.postgres.store",
    "execlog.history.retention", "execlog.history.copying", "execlog.store.migrating", "execlog.kinds.jobs",
    "execlog.cli.main", "execlog.cli.actions.export", "execlog.cli.commands.export", "execlog.recorder.crash",
    "execlog.core.pricing", "re2",
)  # fmt: skip
WORKS = {
    "record": record_on, "serve": serve, "apply": apply, "drain": drain, "prune": prune, "prune on": prune_on,
    "migrate": migrate, "export": export, "copy": copy, "schedule": schedule,
    "rebuild": rebuild, "time": time_calls,
}  # fmt: skip


def run(task: dict, acknowledged: Acknowledged) -> None:
    signal.signal(signal.SIGUSR2, lambda *_: None)
    if "grows_to" in task:
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["grows_to"], resource.RLIM_INFINITY))
    WORKS[task.get("work", "record")](task, acknowledged)
    acknowledged.note(ENDED, 1)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


END_BEFORE = {"sigterm-handled": lambda: signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))}
ENDS = {
    "_exit": lambda: os._exit(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": os.abort,
    "sleep": lambda: time.sleep(60),
}


def fork_victims() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for line in sys.stdin:
        task = json.loads(line)
        acknowledged = Acknowledged(task["acks"])  # here, untraced: the tester's own file must not be what fails
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            become_victim(task, acknowledged)
            os._exit(0)
        say(str(child))


def become_victim(task: dict, acknowledged: Acknowledged) -> None:
    if task.get("waits"):
        signal.sigwait({signal.SIGUSR1})
    if "output" in task:
        output = os.open(task["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
    run(task, acknowledged)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        told = json.loads(sys.argv[1])
        run(told, Acknowledged(told["acks"]))
    else:
        # What a victim would import otherwise: a tracer is to see its work, and not how Python finds modules.
        for module in IMPORTED:
            importlib.import_module(module)
        fork_victims()
