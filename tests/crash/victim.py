"""The process that dies: it records, and notes in a file outside of it what was acknowledged.

    python victim.py '{"home": …, "store": …, "acks": …, "tag": …, …}'        one victim
    python victim.py                                                          forks one for each task on stdin

A task says: `how` to record (a name in HOW), `threads`, `count` (0: until it is killed), the `pause` in seconds after
every eighth record, and how it `ends` (in ENDS).
The file of acknowledgements has a 64-bit counter for each thread: how many of its records were acknowledged.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path

from execlog.core.model import Event, Status
from execlog.core.settings import load
from execlog.ledger import Ledger

COUNTER = struct.Struct("<Q")
SLOTS = 64
PAUSE_EVERY, PAUSE_SECONDS = 8, 0.001


class Acknowledged:
    """The counters, in a file that was allocated before."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), SLOTS * COUNTER.size)

    def note(self, slot: int, count: int) -> None:
        COUNTER.pack_into(self._mapped, slot * COUNTER.size, count)


def plainly(ledger: Ledger, name: str, tag: str) -> None:
    ledger.record("victim", id=name, subject=tag, started_at=1_000_000, ended_at=2_000_000, rows=1)


def durably(ledger: Ledger, name: str, tag: str) -> None:
    while not ledger.append_durable(event(ledger, name, tag)):
        time.sleep(0.001)


def surely(ledger: Ledger, name: str, tag: str) -> None:
    while not ledger.append(event(ledger, name, tag)):
        time.sleep(0.001)


def event(ledger: Ledger, name: str, tag: str) -> Event:
    at = ledger.recorder.stamp()
    return Event(id=name, kind="task", at=at, status=Status.SUCCEEDED, subject=tag, started_at=1, ended_at=2, rows=1)


def in_runs(ledger: Ledger, name: str, tag: str) -> None:
    with ledger.run("victim", id=name, subject=tag) as run:
        for item in run.items(["a", "b"]):
            with item:
                item.rows(1)
        run.log("done")


def mixed(ledger: Ledger, name: str, tag: str) -> None:
    kind = int(name.rpartition(".")[2]) % 8
    if kind == 0:
        in_runs(ledger, name, tag)
    elif kind == 1:
        ledger.record("victim", id=name, subject=tag, status="failed", error="refused: " + "x" * 3000, rows=1)
    elif kind == 2:
        ledger.record("victim", id=name, subject=tag, metadata={"text": name * 20}, rows=1)
    else:
        plainly(ledger, name, tag)


def counted(ledger: Ledger, name: str, tag: str) -> bool:
    """As `surely`, but what is shed stays shed: how many were accepted is in the last counter."""
    return ledger.append(event(ledger, name, tag))


HOW = {"counted": counted, "plainly": plainly, "durably": durably, "surely": surely, "in_runs": in_runs, "mixed": mixed}


def work(ledger: Ledger, task: dict, slot: int, acknowledged: Acknowledged) -> None:
    record, tag, count = HOW[task.get("how", "plainly")], task["tag"], task.get("count", 0)
    done = accepted = 0
    while not count or done < count:
        if record(ledger, f"{tag}.{slot}.{done}", tag):
            accepted += 1
            acknowledged.note(SLOTS - 1, accepted)
        done += 1
        acknowledged.note(slot, done)
        if done % PAUSE_EVERY == 0:
            time.sleep(task.get("pause", PAUSE_SECONDS))


def open_ledger(task: dict) -> Ledger:
    settings = load({}, home=task["home"], store=task["store"], **task.get("settings", {}))
    return Ledger.open(settings=settings, drains_home=task.get("serve", False))


def run(task: dict) -> None:
    ledger, acknowledged = open_ledger(task), Acknowledged(task["acks"])
    if task.get("serve"):
        say("serving")
        signal.pause()
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
    ENDS.get(task.get("ends", ""), lambda: None)()


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def end_on_sigterm() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))


END_BEFORE = {"sigterm-handled": end_on_sigterm}
ENDS = {
    "_exit": lambda: os._exit(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": os.abort,
    "sleep": lambda: time.sleep(60),
}


def fork_victims() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(json.loads(line))
            os._exit(0)
        say(str(child))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(json.loads(sys.argv[1]))
    else:
        fork_victims()
