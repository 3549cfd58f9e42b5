"""Killing victims, and holding what they left against what they had acknowledged."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import apsw
import pytest

from crash.recount import recount
from crash.victim import ACCEPTED, COUNTER, ENDED, SLOTS
from execlog.core.filter import Filter
from execlog.core.model import OPEN, Event, Execution
from execlog.core.settings import load
from execlog.ledger import Ledger
from execlog.store.base import Store
from execlog.store.sqlite import SQLiteStore, summing
from older import make_older

VICTIM = Path(__file__).with_name("victim.py")
LONG = os.environ.get("EXECLOG_CRASH") == "long"
SECONDS = 20.0


def wait_until(happened: Callable[[], Any], what: str, seconds: float = SECONDS, pause: float = 0.005) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(pause)


class Acks:
    """A file of acknowledgements, outside of any victim."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(SLOTS * COUNTER.size))

    def counts(self) -> list[int]:
        """Of each thread."""
        return [count for (count,) in COUNTER.iter_unpack(self.path.read_bytes())][:ENDED]

    def total(self) -> int:
        return sum(self.counts())

    def accepted(self) -> int:
        return COUNTER.unpack_from(self.path.read_bytes(), ACCEPTED * COUNTER.size)[0]

    def ended(self) -> bool:
        """Whether the victim came to the end of its work."""
        return any(self.path.read_bytes()[ENDED * COUNTER.size :][: COUNTER.size])


@dataclass
class Scene:
    """A home and a store, and the victims that live there one after the other."""

    folder: Path
    store: str
    settings: dict[str, Any] = field(default_factory=dict)
    home: str = ""

    def __post_init__(self) -> None:
        self.home = self.home or str(self.folder / "home")

    def acks(self, tag: str) -> Acks:
        return Acks(self.folder / f"{tag}.acks")

    def known_acks(self, tag: str) -> Acks:
        """Those that a victim has noted before."""
        known = Acks.__new__(Acks)
        known.path = self.folder / f"{tag}.acks"
        return known

    def task(self, tag: str, acks: Acks, **task: Any) -> dict[str, Any]:
        where = {"home": self.home, "store": self.store, "tag": tag, "acks": str(acks.path)}
        return where | {"settings": self.settings} | task

    def open(self, **how: Any) -> Ledger:
        return Ledger.open(settings=load({}, home=self.home, store=self.store, **self.settings), **how)


def start(task: dict[str, Any], *prefix: str, **how: Any) -> subprocess.Popen[bytes]:
    """A victim of its own interpreter."""
    return subprocess.Popen([*prefix, sys.executable, str(VICTIM), json.dumps(task)], **how)


WRITING_CALLS = (
    "pwrite64,write,writev,fsync,fdatasync,ftruncate,fallocate,rename,unlink,unlinkat,mkdir,rmdir,sendto,sendmsg"
)
"""After each of these there is something else on the disk, or on its way to a server."""
FALLIBLE_CALLS = f"{WRITING_CALLS},openat,pread64,lseek,statfs,fstatfs,utimensat"
"""What a failing disk can make fail besides."""
INTERRUPTIBLE_CALLS = (
    f"{FALLIBLE_CALLS},read,readv,preadv,flock,poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,"
    "clock_nanosleep,connect,accept4,recvfrom,recvmsg"
)
"""What a signal can interrupt besides; not futex and fcntl: only waiting can be, and strace knows no difference."""

CALL = re.compile(r"(?:(\d+) +)?([a-z]\w*)\(")
"""The beginning of a line of strace's: the thread, where there are several, and the call."""


def need_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    with subprocess.Popen(["sleep", "60"]) as target:
        tracer = subprocess.Popen(["strace", "-p", str(target.pid)], stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        target.kill()
        tracer.communicate()
    if "attached" not in said:
        pytest.skip(f"strace may not trace here: {said.strip()[:200]}")


@contextlib.contextmanager
def serving(scene: Scene, acks: Acks) -> Iterator[subprocess.Popen[bytes]]:
    """A process that empties the journals of everybody in the scene's home."""
    with start(scene.task("server", acks, work="serve"), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"serving\n"
            yield process
        finally:
            process.kill()


class Zygote:
    """Victims by the dozen: forked from a process that has everything imported and nothing opened."""

    def __init__(self, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(VICTIM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def start(self, task: dict[str, Any]) -> Forked:
        """A victim at its work."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()))

    @contextlib.contextmanager
    def traced(self, task: dict[str, Any], *options: str, threads: bool = False) -> Iterator[Forked]:
        """A victim under strace with these options; with `threads`, each of its threads counts its calls for itself."""
        victim = self.start(task | {"waits": True})
        command = ["strace", *(["-f"] if threads else []), *options, "-p", str(victim.pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert tracer.stderr is not None
            assert "attached" in tracer.stderr.readline()
            victim.send(signal.SIGUSR1)
            yield victim
        finally:
            victim.kill()
            tracer.communicate()

    def list_calls(
        self, task: dict[str, Any], folder: Path, calls: str = WRITING_CALLS, *, threads: bool = False
    ) -> list[tuple[str, int]]:
        """These calls of the victim's first thread until its end: each one's name, and the how manieth of it.

        With `threads`, of all its threads: what any of them does for that manieth time is listed once.
        """
        seen = folder / "calls"
        with self.traced(task, "-o", str(seen), "-e", f"trace={calls}", threads=threads) as victim:
            victim.wait()
        counts, found = Counter[tuple[str, str]](), dict[tuple[str, int], None]()
        for line in seen.read_text().splitlines():
            if call := CALL.match(line):
                thread, name = call.groups()
                counts[thread, name] += 1
                found[name, counts[thread, name]] = None
        return list(found)

    def close(self) -> None:
        self._process.communicate()


def injecting(fault: str, calls: str = WRITING_CALLS, seen: str = os.devnull) -> list[str]:
    """The options of strace that make these calls fail so, and write into `seen` which did."""
    return ["-o", seen, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]


class Forked:
    """A forked victim, watched through a descriptor that no other process can come to mean."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def send(self, number: int) -> None:
        signal.pidfd_send_signal(self._fd, number)

    def has_ended(self, seconds: float = 0) -> bool:
        return bool(select.select([self._fd], [], [], seconds)[0])

    def wait(self, seconds: float = SECONDS) -> None:
        assert self.has_ended(seconds), f"process {self.pid} did not end in {seconds} s"

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        self.wait()

    def __del__(self) -> None:
        os.close(self._fd)


def fill_as_before(path: Path, events: list[Event]) -> None:
    """Make a database of the schema version before this one, as that version left it: all executions in the cells."""
    with contextlib.closing(SQLiteStore(path)) as store, mock.patch.object(summing, "TAIL", 1):
        store.apply(events)
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        make_older(connection)


def everything(store: Store, question: Filter) -> list[Execution]:
    found: list[Execution] = []
    cursor = None
    while True:
        page = store.find(question, limit=1000, cursor=cursor)
        found += page.entries
        cursor = page.next_cursor
        if cursor is None:
            return found


def check(ledger: Ledger, tag: str, acks: Acks) -> int:
    """How many records of this tag were acknowledged, once the store has them.

    None of them may be missing, none doubled, none invented, none left open by the dead, and the statistics must equal
    a recount.
    """
    while ledger.drain_dead():
        pass
    store, counts = ledger.store, acks.counts()
    question = Filter(kind="task", namespace="", subject=tag)
    found = everything(store, question)
    ids = [execution.id for execution in found]
    assert len(ids) == len(set(ids))
    wanted = {f"{tag}.{slot}.{number}" for slot, count in enumerate(counts) for number in range(count)}
    # A record on its way when the victim died may have arrived: one a thread, the one behind the acknowledged.
    possible = wanted | {f"{tag}.{slot}.{count}" for slot, count in enumerate(counts)}
    assert not wanted - set(ids), f"lost: {sorted(wanted - set(ids))[:5]}"
    assert not set(ids) - possible, f"invented: {sorted(set(ids) - possible)[:5]}"
    assert [execution.id for execution in found if execution.status in OPEN] == []
    recount(store, question, found)
    return len(wanted)
