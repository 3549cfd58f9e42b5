"""System calls that fail, disks that are full: callers go on, what was accepted is kept, what was not is counted."""

from __future__ import annotations

import random
import signal

import pytest

from crash.disk import NoDiskError, small_disk
from crash.harness import (
    FALLIBLE_CALLS,
    LONG,
    Scene,
    Zygote,
    check,
    everything,
    injecting,
    need_strace,
    start,
    wait_until,
)
from execlog.core.filter import Filter

pytestmark = pytest.mark.crash
LONGEST_RECORD = 1_000  # bytes, of those the victim writes
POINTS = range(1, 120) if LONG else sorted(random.Random(41).sample(range(1, 40), 3))


@pytest.fixture(scope="module")
def zygote():
    started = Zygote()
    yield started
    started.close()


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EINTR"])
@pytest.mark.parametrize("how", ["durably", "surely"])
def test_an_error_at_any_call_of_the_write_path_loses_nothing(tmp_path, zygote, error, how):
    need_strace()
    settings = {"journal_segment": 64 * 1024, "drain_batch": 20}
    scene = Scene(tmp_path, f"sqlite:///{tmp_path}/store.db", settings)
    for number in POINTS:
        tag = f"{error}{number}"
        acks = scene.acks(tag)
        task = scene.task(tag, acks, how=how, count=40)
        fault = injecting(f"error={error}:when={number}", FALLIBLE_CALLS)
        with zygote.traced(task, *fault, threads=True) as victim:
            victim.wait(60)
        assert acks.ended()
        with scene.open() as ledger:
            assert check(ledger, tag, acks) == 40
            assert ledger.store.check()["integrity"] == "ok"


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
