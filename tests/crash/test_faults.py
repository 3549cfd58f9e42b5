"""System calls that fail, do only part of their work or are interrupted; disks that are full.

Callers go on, what was accepted is kept, what was not is counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crash.disk import NoDiskError, small_disk
from crash.harness import (
    FALLIBLE_CALLS,
    INTERRUPTIBLE_CALLS,
    LONG,
    Acks,
    Scene,
    Zygote,
    check,
    everything,
    injecting,
    need_strace,
    start,
    wait_until,
)
from crash.places import PLACES, SETTINGS, url_of
from execlog.core.filter import Filter

pytestmark = pytest.mark.crash
LONGEST_RECORD = 1_000  # bytes, of those the victim writes
FAULTS = 8
"""Calls that fail in the short form; the long form goes through all of them."""
ROUNDS = 40 if LONG else 2
SMALL = {"journal_segment": 64 * 1024, "drain_batch": 20}
RECORDS, LARGE_RECORDS = 200, 60
LEAST, MOST = 70_000, 1_500_000
"""Bytes: room for a segment of the journal, and less than the store needs in the end."""


@pytest.fixture(scope="module")
def zygote():
    started = Zygote()
    yield started
    started.close()


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EINTR"])
@pytest.mark.parametrize("how", ["durably", "surely"])
def test_an_error_at_any_call_of_the_write_path_loses_nothing(tmp_path, zygote, error, how, record_property):
    need_strace()
    listed = Scene(tmp_path / "listed", f"sqlite:///{tmp_path}/listed/store.db", SMALL)
    listed.folder.mkdir()
    fallible = INTERRUPTIBLE_CALLS if error == "EINTR" else FALLIBLE_CALLS
    task = listed.task("t", listed.acks("t"), how=how, count=40, flushes=True)
    calls = zygote.list_calls(task, tmp_path, fallible, threads=True)
    wanted = len(calls) // 3 if LONG else FAULTS
    assert len(calls) > FAULTS * 10
    failed = tried = 0
    for call, number in random.Random(f"{how} {error}").sample(calls, len(calls)):
        if failed == wanted and not LONG:
            break
        tried += 1
        failed += fails_at(tmp_path / str(tried), zygote, how, f"error={error}:when={number}", call)
    assert failed >= wanted, f"of {tried} points only {failed} came"
    record_property(f"{error} {how}", f"at {failed} of {len(calls)} calls, nothing lost")


def fails_at(folder: Path, zygote: Zygote, how: str, fault: str, call: str) -> bool:
    """Whether a call failed so: threads that share out their work otherwise do not come to it. Nothing may be lost."""
    folder.mkdir()
    scene, seen = Scene(folder, f"sqlite:///{folder}/store.db", SMALL), folder / "seen"
    acks = scene.acks("t")
    task = scene.task("t", acks, how=how, count=40, flushes=True)
    with zygote.traced(task, *injecting(fault, call, str(seen)), threads=True) as victim:
        victim.wait(90)
    assert acks.ended()
    with scene.open() as ledger:
        assert check(ledger, "t", acks) == 40
        assert ledger.store.check()["integrity"] == "ok"
    return "(INJECTED)" in seen.read_text()


@pytest.fixture(scope="module")
def short_writes(tmp_path_factory):
    """A library that makes a process's writes short, as write(2) allows them to be, or interrupts them."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("short") / "short.so"
    source = Path(__file__).with_name("short.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)


@pytest.fixture
def scene(request, tmp_path):
    return Scene(tmp_path, url_of(request.param, request, tmp_path), SMALL | SETTINGS)


def test_the_library_makes_writes_short(short_writes, tmp_path):
    program = (
        "import os, sys\n"
        "file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "written = [os.write(file, b'x' * 100) for _ in range(50)]\n"
        "placed = [os.pwrite(file, b'x' * 100, 0) for _ in range(50)]\n"
        "sys.exit(not (min(written) < 100 and min(placed) < 100 and sum(written) == os.fstat(file).st_size))\n"
    )
    command = [sys.executable, "-c", program, tmp_path / "file"]
    assert subprocess.run(command, env=os.environ | {"LD_PRELOAD": short_writes}, check=False).returncode == 0


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("scene", PLACES, indirect=True)
def test_short_writes_lose_nothing(scene, short_writes):
    chance, zygote = random.Random(42), Zygote(LD_PRELOAD=short_writes)
    for number in range(ROUNDS):
        tag = f"short{number}"
        acks = scene.acks(tag)
        victim = zygote.start(scene.task(tag, acks, how="mixed", count=RECORDS, threads=2, flushes=True))
        if number % 2:
            least = chance.randrange(2 * RECORDS)
            wait_until(lambda acks=acks, least=least: acks.total() > least, "records")
            victim.kill()
        else:
            victim.wait(60)
            assert acks.ended()
            assert acks.total() == 2 * RECORDS
        check_whole(scene, tag, acks)
    zygote.close()


def check_whole(scene: Scene, tag: str, acks: Acks) -> None:
    """Everything that was acknowledged is in a store that is whole, and nothing was shed."""
    for path in scene.folder.rglob("executions/[!.]*.json"):
        json.loads(path.read_bytes())
    with scene.open() as ledger:
        assert check(ledger, tag, acks)
        assert ledger.store.check().get("integrity", "ok") == "ok"
        assert sum(ledger.losses().shed) == 0


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("scene", ["sqlite", "files"], indirect=True)
def test_files_that_may_not_grow_for_a_while(scene, zygote):
    """The kernel itself cuts the write short that reaches the limit, and refuses the next ones."""
    chance, stuck = random.Random(43), 0
    for number in range(ROUNDS):
        tag = f"limit{number}"
        folder = scene.folder / tag
        here = Scene(folder, scene.store.replace(str(scene.folder), str(folder)), scene.settings)
        folder.mkdir()
        acks = here.acks(tag)
        task = here.task(tag, acks, how="largely", count=LARGE_RECORDS, flushes=True, output=os.devnull)
        victim = zygote.start(task | {"grows_to": chance.randrange(LEAST, MOST)})
        wait_until(lambda acks=acks: acks.total() == LARGE_RECORDS, "all to be accepted")
        stuck += not victim.has_ended(chance.uniform(0.1, 0.5))
        with contextlib.suppress(ProcessLookupError):  # it has ended, having kept below its limit
            resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        victim.wait(60)
        assert acks.ended()
        check_whole(here, tag, acks)
    assert stuck


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("scene", PLACES, indirect=True)
def test_signals_in_every_thread_lose_nothing(scene, zygote):
    """Nothing but signals: each system call of each thread may be interrupted for real."""
    kill_thread = ctypes.CDLL(None).tgkill
    for number in range(ROUNDS):
        tag = f"signals{number}"
        acks = scene.acks(tag)
        victim = zygote.start(scene.task(tag, acks, how="mixed", count=RECORDS, threads=2, flushes=True))
        wait_until(acks.total, "the first record")
        while not victim.has_ended(0.0005):
            for thread in threads_of(victim.pid):
                kill_thread(victim.pid, thread, signal.SIGUSR2)
        assert acks.ended()
        assert acks.total() == 2 * RECORDS
        check_whole(scene, tag, acks)


def threads_of(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return []


def test_a_full_disk_drops_and_counts_exactly_even_after_a_kill(tmp_path):
    try:
        with small_disk(tmp_path, 2048) as disk:
            fill_and_empty(tmp_path, disk)
    except NoDiskError as missing:
        pytest.skip(f"no disk that can be filled: {missing}")


def fill_and_empty(tmp_path, disk) -> None:
    (tmp_path / "folder").touch()  # where the store's folder should be: it is down
    settings = {"journal_segment": 64 * 1024, "journal_min_free": 0}
    scene = Scene(tmp_path, f"sqlite:///{tmp_path}/folder/store.db", settings, home=f"{disk}/home")
    acks = scene.acks("t")
    victim = start(scene.task("t", acks, how="counted", pause=0.0))
    wait_until(lambda: acks.counts()[0] > acks.accepted() + 1000, "a thousand records that were shed")
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    tried, accepted = acks.counts()[0], acks.accepted()
    (tmp_path / "folder").unlink()
    with scene.open() as ledger:
        while ledger.drain_dead():
            pass
        stored = len(everything(ledger.store, Filter(kind="task")))
        losses = ledger.losses()
    # The last one may have been decided, but not noted, when the victim died.
    assert stored + sum(losses.shed) in {tried, tried + 1}
    assert stored in {accepted, accepted + 1}
    assert (losses.lost, losses.aside) == (0, 0)
    # The kill may cut the one record that was being written, and was never accepted.
    assert losses.damaged < LONGEST_RECORD
    assert accepted > 10_000
