"""kill -9 at random moments: nothing acknowledged is lost, nothing doubled, statistics equal to a recount.

`make crash` runs a thousand effective rounds (each with at least one new acknowledgement) for each store.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from crash.harness import LONG, Acks, Scene, Zygote, check, everything, serving, wait_until
from crash.places import PLACES, SETTINGS, url_of
from crash.recount import recount
from execlog.core.filter import Filter
from execlog.recorder.lock import holder
from execlog.recorder.sidecar import read_cursor

pytestmark = pytest.mark.crash
ROUNDS = 1000 if LONG else 8
KILLS = 100 if LONG else 3
PATIENCE = 60.0
READS_EVERYTHING = ("redis:", "files:")


@pytest.fixture(params=PLACES)
def scene(request, tmp_path):
    # Small segments, so that kills strike while they are begun, drained and dropped too.
    settings = {"journal_segment": 64 * 1024, "drain_batch": 50} | SETTINGS
    return Scene(tmp_path, url_of(request.param, request, tmp_path), settings)


@pytest.fixture(scope="module")
def zygote():
    started = Zygote()
    yield started
    started.close()


@pytest.mark.timeout(7200 if LONG else 150)
def test_what_was_acknowledged_survives_kills(scene, zygote, record_property):
    chance = random.Random(20)
    effective = records = 0
    while effective < ROUNDS:
        tag = f"r{effective}"
        acks = scene.acks(tag)
        threads = chance.choice([1, 1, 2, 4])
        processes = chance.choice([1, 1, 2])
        victims = [
            zygote.start(scene.task(tag, acks, how=chance.choice(["plainly", "mixed", "in_runs"]), threads=threads,
                                    slot=number * threads))
            for number in range(processes)
        ]  # fmt: skip
        time.sleep(chance.expovariate(16))
        for victim in victims:
            victim.kill()
        with scene.open() as ledger:
            found = check(ledger, tag, acks)
            effective, records = effective + (found > 0), records + found
            assert sum(ledger.losses().shed) == 0
            if scene.store.startswith(READS_EVERYTHING):  # at each question, or whenever it is opened: keep that little
                ledger.store.delete(Filter(kind="task", namespace="", subject=tag))
    with scene.open() as ledger:
        recount(ledger.store, Filter(), everything(ledger.store, Filter()))
    record_property("kills", f"{effective} effective rounds, {records} acknowledged records, 0 lost, 0 doubled")


@pytest.mark.timeout(7200 if LONG else 150)
def test_the_drain_is_killed_too(scene, zygote, record_property):
    """A server drains a living process's journal, and is killed in the middle again and again."""
    chance = random.Random(21)
    tag = "server-killed"
    acks = scene.acks(tag)
    victim = zygote.start(scene.task(tag, acks, how="mixed", threads=2, pause=0.02))
    wait_until(acks.total, "the first acknowledgement")
    (journal,) = Path(scene.home).glob("journal/*/[!.]*/")
    drained = 0
    try:
        for _ in range(KILLS):
            with serving(scene, Acks(scene.folder / "server.acks")) as server:
                drained += see_drained(journal, server.pid)
                time.sleep(chance.uniform(0.0, 0.2))
        victim.send(signal.SIGTERM)
        victim.wait()
    finally:
        victim.kill()
    with scene.open() as ledger:
        assert check(ledger, tag, acks) > drained
    record_property("servers", f"{KILLS} killed while they drained, {drained} records seen to be stored before")


def see_drained(journal: Path, server: int) -> int:
    """How many records a server took out of a journal while we looked: some, for it waits until it did."""
    wait_until(lambda: holder(journal / "drain") == server, "the server to take the journal over", PATIENCE)
    before = read_cursor(journal).stored
    wait_until(lambda: read_cursor(journal).stored > before, "the store to have some of it", PATIENCE)
    assert holder(journal / "drain") == server
    return read_cursor(journal).stored - before
