"""A day of a busy server, compressed: nothing of it grows but the history. And two thousand who watch at once.

Halves of the work are compared, never times: what the second half needs at most, the first has needed too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from crash.harness import LONG, Scene, Zygote, check, everything, wait_until
from crash.recount import recount
from crash.victim import DAY, old
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.core.settings import Settings
from execlog.history.retention import remove_before
from execlog.kinds.jobs import Call, Interval, Job, Misfire, SchedulerServingApp
from execlog.ledger import Ledger
from execlog.recorder.home import Home
from execlog.store.opening import open_store
from execlog.store.sqlite import writing
from execlog.store.sqlite.connection import CHECKPOINT_PAGES, PAGE_SIZE

pytestmark = pytest.mark.crash
STEPS = 40 if LONG else 12
RECORDS, RUNS, JOBS = (864_000, 100_000, 100) if LONG else (6_000, 600, 20)
EVERY_SECONDS = 0.1
CLIENTS, REFUSED = Settings().sse_clients, 50
PATIENCE = 600.0 if LONG else 30.0
LOOK_SECONDS = 0.1
MEBIBYTE = 2**20
SLACK = 1.1
WARMING = 0 if LONG else 24 * MEBIBYTE
"""What caches that fill by and by may add to the memory of a server that has hardly begun."""
CHANCE = 4 if LONG else 64
"""Descriptors, and threads of an idle server, for what happens to meet; it is idle after half a minute."""
DAYS, A_DAY = (400, 500) if LONG else (40, 200)


class Sample(NamedTuple):
    """What a server needs, in bytes and numbers; and what the store has."""

    memory: int
    descriptors: int
    threads: int
    journals: int
    wal: int
    rows: int = 0
    pages: int = 0

    def most(self, other: Sample) -> Sample:
        """The larger of each."""
        return Sample(*map(max, zip(self, other, strict=True)))


class Served:
    """`execlog serve` over a scene, in a process of its own."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        where = ["--home", scene.home, "--store", scene.store, "--port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "execlog", "serve", *where], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rpartition(":")[2])

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return json.load(answer)

    def post(self, path: str, said: object) -> dict:
        request = urllib.request.Request(
            self.url + path, json.dumps(said).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def sample(self) -> Sample:
        process = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Sample(
            memory=int(status["VmRSS"].split()[0]) * 1024,
            descriptors=len(list((process / "fd").iterdir())),
            threads=int(status["Threads"]),
            journals=sum(
                size(Path(folder, name))
                for folder, _, names in os.walk(self._scene.home)  # unlike `rglob`, not upset by a folder that goes
                for name in names
                if name.endswith(".seg")
            ),
            wal=size(Path(f"{self._scene.store.removeprefix('sqlite:///')}-wal")),
        )


def size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


@contextlib.contextmanager
def served(scene: Scene) -> Iterator[Served]:
    server = Served(scene)
    try:
        yield server
        server.process.terminate()
        assert server.process.wait(20) == 0
    finally:
        server.process.kill()
        server.process.communicate()


class Follower:
    """A client of live updates, of which one loop can hold thousands."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.events = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, port: int, path: str = "/api/feed") -> None:
        """Ask for the stream, and read the head of the answer."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in rest)

    async def hear(self, text: bytes) -> None:
        """Read on until this has been said."""
        assert self._reader is not None
        await self._reader.readuntil(text)

    async def count(self) -> None:
        """Count events until the stream ends."""
        assert self._reader is not None
        with contextlib.suppress(OSError):
            while data := await self._reader.read(MEBIBYTE):
                self.events += data.count(b"\ndata: ")

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()


@contextlib.contextmanager
def followed(port: int, paths: list[str]) -> Iterator[list[Follower]]:
    """Clients that read in a thread, until the server ends their streams."""
    followers, connected = [Follower() for _ in paths], threading.Event()

    async def follow() -> None:
        await asyncio.gather(*(one.connect(port, path) for one, path in zip(followers, paths, strict=True)))
        connected.set()
        await asyncio.gather(*(one.count() for one in followers))
        await asyncio.gather(*(one.close() for one in followers))

    thread = threading.Thread(target=lambda: asyncio.run(follow()))
    thread.start()
    try:
        assert connected.wait(PATIENCE)
        assert {one.status for one in followers} == {200}
        yield followers
    finally:
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def zygote():
    started = Zygote()
    yield started
    started.close()


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path, f"sqlite:///{tmp_path}/store.db")


@pytest.mark.timeout(3600 if LONG else 120)
def test_nothing_of_a_busy_server_grows_but_the_history(scene, zygote, record_property):
    paths = ["/api/feed", "/api/feed?kind=job", "/api/feed?kind=job&subject=j1", "/api/feed?kind=task&status=succeeded"]
    with scene.open() as ledger, contextlib.ExitStack() as following:
        with served(scene) as server, SchedulerServingApp(ledger) as app:
            followers = following.enter_context(followed(server.port, paths * 4))
            resting = server.sample().threads
            for number in range(JOBS):
                app.desk.create(job(number))
            first = work(scene, server, ledger, zygote, range(STEPS // 2))
            second = work(scene, server, ledger, zygote, range(STEPS // 2, STEPS))
            for number in range(JOBS):
                app.desk.set_enabled(f"j{number}", enabled=False)
            wait_until(lambda: not app.jobs.firings(), "the last runs to end", PATIENCE, LOOK_SECONDS)
            # How many meet while it works is a matter of the machine's other load: those that have nothing to do end.
            idle = "idle threads to end"
            wait_until(lambda: server.sample().threads <= resting + CHANCE, idle, PATIENCE, LOOK_SECONDS)
            assert live_clients(server) == len(followers)
        recorded = sum(check(ledger, f"s{step}", scene.known_acks(f"s{step}")) for step in range(STEPS))
        runs = sum(judge_runs(ledger.store, number) for number in range(JOBS))
    record_property("soak", f"{recorded} records and {runs} runs; first half {first}; second half {second}")
    assert recorded == RECORDS
    assert runs >= RUNS
    assert all(one.events for one in followers)
    assert second.memory <= first.memory * SLACK + WARMING
    assert second.descriptors <= first.descriptors + CHANCE
    assert second.journals <= first.journals
    assert second.wal <= max(first.wal, CHECKPOINT_PAGES * PAGE_SIZE) * SLACK
    assert (second.pages - first.pages) / (second.rows - first.rows) <= first.pages / first.rows * SLACK


def work(scene: Scene, server: Served, ledger: Ledger, zygote: Zygote, steps: range) -> Sample:
    """What the server needed at most in these steps: each ends when the store has its share of records and runs."""
    needed = server.sample()
    for step in steps:
        task = scene.task(f"s{step}", scene.acks(f"s{step}"), how="plainly", count=RECORDS // STEPS)
        zygote.start(task).wait(PATIENCE)
        while not is_through(ledger, RUNS * (step + 1) // STEPS):
            needed = needed.most(server.sample())
            time.sleep(LOOK_SECONDS)
    return needed._replace(rows=ledger.store.count(Filter()), pages=count_pages(scene))


def is_through(ledger: Ledger, runs: int) -> bool:
    """Whether only the server's own journal is left, so that the store has all records, and so many jobs ran."""
    return len(Home(ledger.root, lambda: 0).journals()) <= 1 and ledger.store.count(Filter(kind="job")) >= runs


def count_pages(scene: Scene) -> int:
    """Of the database, those in its WAL among them."""
    with closing(apsw.Connection(scene.store.removeprefix("sqlite:///"))) as looking:
        return looking.pragma("page_count")


def job(number: int) -> Job:
    return Job(
        id=f"j{number}", name="nothing", run=Call("builtins:dict"), trigger=Interval(EVERY_SECONDS),
        misfire=Misfire("all", 3600.0), overlap="allow",
    )  # fmt: skip


def judge_runs(store, number: int) -> int:
    """How often a job ran: at each of its instants once, and well."""
    question = Filter(kind="job", subject=f"j{number}")
    found = everything(store, question)
    assert {one.status for one in found} == {Status.SUCCEEDED}
    gaps = [later - sooner for sooner, later in pairwise(sorted(one.queued_at for one in found))]
    assert set(gaps) == {round(EVERY_SECONDS * 1e6)}, "an instant was left out, or run twice"
    recount(store, question, found)
    return len(found)


@pytest.mark.timeout(1200 if LONG else 120)
def test_a_history_that_is_pruned_takes_no_more_room(tmp_path, monkeypatch, record_property):
    """Each day brings a day's records, and the day that is too old takes its own along."""
    path, kept = tmp_path / "store.db", DAYS // 4
    if not LONG:  # else there would be fewer changes than the store keeps for those who follow it
        monkeypatch.setattr(writing, "CHANGES_KEPT", A_DAY)
    pages: list[int] = []
    with closing(open_store(f"sqlite:///{path}")) as store, closing(apsw.Connection(str(path))) as looking:
        for day in range(DAYS):
            # `old` is ten a day.
            store.apply(
                [old(f"d{day}.{part}", day * 10 + number) for part in range(A_DAY // 10) for number in range(10)]
            )
            removed = remove_before(store, (day - kept + 2) * DAY)
            assert removed == (A_DAY if day >= kept else 0)
            pages.append(looking.pragma("page_count"))
        assert store.count(Filter()) == kept * A_DAY
        recount(store, Filter(), everything(store, Filter()))
        assert store.check()["integrity"] == "ok"
        assert size(path) <= max(pages) * PAGE_SIZE
    first, second = max(pages[: DAYS // 2]), max(pages[DAYS // 2 :])
    record_property("pruned", f"at most {first} pages in the first half, {second} in the second")
    assert second <= first * SLACK


@pytest.fixture
def many_files():
    """Leave to open a descriptor for each client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CLIENTS + REFUSED + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_watch_and_the_next_are_told_to_come_again(scene, many_files, record_property):
    async def play(server: Served) -> int:
        before, followers = server.sample(), [Follower() for _ in range(CLIENTS + REFUSED)]
        try:
            await watch(server, followers)
            return server.sample().memory - before.memory
        finally:
            await asyncio.gather(*(one.close() for one in followers))

    with served(scene) as server:
        grown = asyncio.run(play(server))
    record_property("2,000 live clients", f"{grown / CLIENTS / 1024:.1f} KiB of the server's memory each")


async def watch(server: Served, followers: list[Follower]) -> None:
    """All of them ask at once; those who have a place are told what happens, and one who leaves makes room."""
    await asyncio.gather(*(one.connect(server.port) for one in followers))
    admitted = [one for one in followers if one.status == 200]
    refused = [one for one in followers if one.status == 503]
    assert (len(admitted), len(refused)) == (CLIENTS, REFUSED)
    assert {one.headers["retry-after"] for one in refused} == {"10"}
    await asyncio.gather(*(one.hear(b"retry: ") for one in admitted))
    answer = await asyncio.to_thread(server.post, "/api/executions", [{"kind": "job", "name": "seen by all"}])
    new = answer["ids"][0].encode()
    await asyncio.wait_for(asyncio.gather(*(one.hear(new) for one in admitted)), PATIENCE)
    await asyncio.to_thread(wait_until, lambda: live_clients(server) == CLIENTS, "no more than these")
    await admitted[0].close()
    await asyncio.to_thread(wait_until, lambda: live_clients(server) == CLIENTS - 1, "one to be gone")
    await refused[0].close()
    await refused[0].connect(server.port)
    assert refused[0].status == 200


def live_clients(server: Served) -> int:
    return server.get("/healthz")["live_clients"]
