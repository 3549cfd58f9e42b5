"""A store that is away, slow, silent, restarted or cut off: callers do not notice, and every record arrives.

accepted = stored + reported dropped is asserted exactly. How long calls took is reported with the figures of the same
calls over a store that answers, and held against those with a wide margin: the machine of a test is not a quiet one.
The benchmarks say how long they take on one that is. The long form holds the drain to its time, too.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable

import pytest

from crash.harness import LONG, Scene, Zygote, check, wait_until
from crash.places import SERVED, SETTINGS, proxied

pytestmark = pytest.mark.crash
MEMORY_KIB = 64 * 1024
HALF_AN_HOUR = 1_800_000 if LONG else 30_000  # records, at a thousand a second
QUIET = 20_000 if LONG else 2_000
FEWER = 30 if LONG else 10
"""So many times fewer records go to Redis, where each of them is a round trip."""
TOO_LITTLE = 30
"""Bytes a record, where about a hundred are needed."""
MAPPED_KIB = 3 * 16 * 1024
"""Segments of the journal that are mapped at once; the kernel may take their pages away at any time."""
PATIENCE = 3000.0 if LONG else 60.0
P50_TIMES, P99_TIMES = 5, 20
P50_LEAST, P99_LEAST = 5.0, 20.0
"""How much longer calls may take than over a store that answers, or than so many µs: to wait for one takes longer."""
DRAINED_SECONDS, SERVED_TIMES = 90.0, 4
"""In which half an hour's records go into an embedded store that is back; a server may take so many times longer."""
BACKOFF_SECONDS = 5.0
"""How long a store that was away is left alone at most, before it is asked again."""


@pytest.fixture(scope="module")
def zygote():
    started = Zygote()
    yield started
    started.close()


def live_through(scene: Scene, zygote: Zygote, while_recording: Callable[[], None], then: Callable[[], None], **task):
    """The victim's report, after it recorded through this, and the store came back: whatever it was promised is there.

    Each record was taken, and then the store has it, or it was shed, and counted; none is anything else.
    """
    tag = task.pop("tag", "outage")
    acks, report = scene.acks(tag), scene.folder / "report.json"
    more = {"report": str(report), "patience": PATIENCE, "output": os.devnull}
    victim = zygote.start(scene.task(tag, acks, work="time", **(more | task)))
    try:
        wait_until(acks.accepted, "the first record")
        while_recording()
        wait_until(lambda: acks.counts()[0] == task["count"], "the last record", 600)
        then()
        victim.wait(PATIENCE + 60)
    finally:
        victim.kill()
    said = json.loads(report.read_text())
    assert said["flushed"], said
    assert said["accepted"] + 1 == said["stored"], said  # and the one that warmed it up
    assert said["accepted"] + said["dropped"] == task["count"], said
    assert said["aside"] == 0, said
    assert said["grown_kib"] < MEMORY_KIB, said
    assert said["resident_grown_kib"] < MEMORY_KIB + MAPPED_KIB, said
    return said, acks


def told(said: dict) -> str:
    return (
        f"{said['accepted']} accepted, all stored, {said['dropped']} shed; p50 {said['p50_us']:.1f} µs, "
        f"p99 {said['p99_us']:.1f} µs ({said['warm_p99_us']:.1f} of those not first after a pause); "
        f"drained in {said['drained_seconds']:.1f} s; memory grew {said['grown_kib']} KiB "
        f"({said['resident_grown_kib']} KiB with what files stand for)"
    )


def told_beside(said: dict, quiet: dict) -> str:
    """Of an outage, beside the same calls over a store that answers."""
    return f"{told(said)}; over a store that answers p50 {quiet['p50_us']:.1f} µs, p99 {quiet['p99_us']:.1f} µs"


def hold_callers(said: dict, quiet: dict) -> None:
    """Callers must not have noticed that the store was away."""
    assert said["p50_us"] <= P50_TIMES * max(quiet["p50_us"], P50_LEAST), told_beside(said, quiet)
    assert said["p99_us"] <= P99_TIMES * max(quiet["p99_us"], P99_LEAST), told_beside(said, quiet)


def hold_drain(said: dict, times: int = 1) -> None:
    """What waited must be drained within its time; in the short form there is too little of it to say so."""
    assert not LONG or said["drained_seconds"] <= BACKOFF_SECONDS + times * DRAINED_SECONDS, told(said)


def count_stored(scene: Scene) -> int:
    with scene.open() as ledger:
        return int(ledger.store.check()["executions"])


def nothing() -> None:
    """What happens in a time without trouble."""


def capped(count: int) -> dict[str, int]:
    """Settings with which the journal cannot take so many records."""
    return {"journal_cap": count * TOO_LITTLE, "journal_segment": 64 * 1024}


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("sheds", [False, True], ids=["all kept", "shed at a cap"])
def test_an_embedded_store_that_is_away_for_half_an_hour(tmp_path, zygote, sheds, record_property):
    (tmp_path / "folder").touch()  # where the store's folder should be
    settings = capped(HALF_AN_HOUR) if sheds else {}
    scene = Scene(tmp_path, f"sqlite:///{tmp_path}/folder/store.db", settings)
    said, _ = live_through(scene, zygote, nothing, (tmp_path / "folder").unlink, count=HALF_AN_HOUR)
    assert bool(said["dropped"]) is sheds
    assert count_stored(scene) == said["accepted"] + 1
    quiet, _ = live_through(scene, zygote, nothing, nothing, tag="quiet", count=QUIET)
    record_property("sqlite away", told_beside(said, quiet))
    hold_callers(said, quiet)
    if not sheds:  # small segments are a transaction each
        hold_drain(said)


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("sheds", [False, True], ids=["all kept", "shed at a cap"])
@pytest.mark.parametrize("name", SERVED)
def test_a_served_store_that_is_away_for_half_an_hour(tmp_path, zygote, name, sheds, record_property):
    count = HALF_AN_HOUR // FEWER if name == "redis" else HALF_AN_HOUR
    with proxied(name) as (url, proxy, _server):
        proxy.set("refuse")
        scene = Scene(tmp_path, url, SETTINGS | (capped(count) if sheds else {}))
        said, _ = live_through(scene, zygote, nothing, lambda: proxy.set("pass"), count=count)
        assert bool(said["dropped"]) is sheds
        assert count_stored(scene) == said["accepted"] + 1
        quiet, _ = live_through(scene, zygote, nothing, nothing, tag="quiet", count=min(QUIET, count))
    record_property(f"{name} away", told_beside(said, quiet))
    hold_callers(said, quiet)
    if not sheds:
        hold_drain(said, SERVED_TIMES)


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("mode", ["pass", "slow", "hang", "cut", "restart"])
@pytest.mark.parametrize("name", SERVED)
def test_a_served_store_in_trouble_under_load(tmp_path, zygote, name, mode, record_property):
    chance = random.Random(mode)
    count = 60_000 if LONG else 3_000
    with proxied(name) as (url, proxy, server):
        scene = Scene(tmp_path, url, SETTINGS | {"drain_batch": 100})

        def trouble() -> None:
            if mode != "restart":
                proxy.set(mode)
                wait_until(lambda: mode != "cut" or proxy.cuts, "a connection to be cut", PATIENCE)
                return
            for _ in range(10 if LONG else 2):
                server.kill()
                server.start()
                wait_until(lambda: True, "the moment to pass", chance.uniform(0, 0.2))

        said, acks = live_through(scene, zygote, trouble, lambda: proxy.set("pass"), count=count, rate=2_000)
        with scene.open() as ledger:
            assert check(ledger, "outage", acks) == count
    record_property(f"{name} {mode}", told(said))
