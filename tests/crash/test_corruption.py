"""Files whose bytes change or whose tails are gone: at most what was hit is lost, nothing is invented, and it is told.

What was recorded is known from a list kept outside. `make crash` tries every bit and every length, the short form a
sample.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from crash.damage import Damage, cuts, each, flips
from crash.harness import LONG
from execlog.core import codec
from execlog.core.filter import Filter
from execlog.core.model import Event, Execution, Item, Status
from execlog.recorder import segment
from execlog.recorder.crash import mark_crashed
from execlog.recorder.drain import JournalDrain, quarantine_of
from execlog.recorder.home import Home, Losses
from execlog.recorder.journal import Journal, Limits, Worth
from execlog.recorder.segment import FIRST, FRAME
from execlog.recorder.sidecar import Owner
from execlog.store.base import WHOLE, Store
from execlog.store.memory import MemoryStore

pytestmark = [pytest.mark.crash, pytest.mark.timeout(14_400 if LONG else 120)]
KIB = 1024
NOW = 2_000_000_000_000_000
ORIGIN = "boot:dead"
OWNER = Owner(ORIGIN, 4_000_000, "here", "boot", 0)


class Place(NamedTuple):
    """Where a record is: its segment, and from where to where."""

    file: str
    start: int
    end: int


class Left(NamedTuple):
    """What a process left that is gone: the folder of all journals, and the ledger of its records."""

    root: Path
    ledger: list[tuple[Place, Event]]

    @property
    def journal(self) -> Path:
        return self.root / "dead"

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.ledger]


def said() -> Iterator[Event]:
    """Records of each sort: whole executions, ones that say their items and outcome apart, and one left open."""
    for number in range(24):
        at, names = 1_000_000 * (number + 1), {"id": f"e{number}", "kind": "task", "subject": "s"}
        if number % 4:
            yield Event(**names, at=at, status=Status.SUCCEEDED, started_at=at, ended_at=at + 9, metadata={"n": number})
            continue
        yield Event(**names, at=at, status=Status.RUNNING, started_at=at, origin=ORIGIN)
        yield Event(**names, at=at + 1, items=(Item(key="a", at=at + 1, status=Status.SUCCEEDED, rows=number),))
        if number < 20:
            yield Event(**names, at=at + 2, status=Status.FAILED, ended_at=at + 2, duration=2e-6)


def leave(root: Path) -> Left:
    """A journal of several small segments, as a process leaves it that is killed."""
    root.mkdir(parents=True)
    journal = Journal(root / "dead", OWNER, Limits(1 * KIB, 1024 * KIB, 0))
    ledger: list[tuple[Place, Event]] = []
    for event in said():
        payload = codec.encode(event)
        assert journal.append(payload, Worth.OUTCOME)
        number, end = journal.position
        ledger.append((Place(segment.path_of(root, number).name, end - FRAME.size - len(payload), end), event))
    journal.close(remove=False)
    return Left(root, ledger)


@pytest.fixture
def left(tmp_path):
    return leave(tmp_path / "whole" / "journal" / "store")


@pytest.fixture
def again(left, tmp_path):
    """A function that puts everything back as the process left it, and says where."""
    home = tmp_path / "home"

    def restore() -> Left:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(left.root.parents[1], home)
        return Left(home / "journal" / "store", left.ledger)

    return restore


def whole(store: Store) -> dict[str, Execution]:
    """Everything a store has, with all its parts."""
    found = store.find(Filter(sort="oldest"), limit=1000, parts=WHOLE)
    assert found.next_cursor is None
    return {execution.id: execution for execution in found.entries}


def told(events: list[Event]) -> dict[str, Execution]:
    """What the store has to have once these events, and no others, came from a process that is gone."""
    store = MemoryStore()
    store.apply(events)
    mark_crashed(store, ORIGIN, "process 4000000 on here", now=NOW, seen_at=NOW)
    return whole(store)


def adopt(left: Left, store: Store | None = None) -> tuple[dict[str, Execution], Losses]:
    """What the store has, and what was lost, after the next process took the journal in."""
    os.utime(left.journal / "alive", (NOW // 1_000_000, NOW // 1_000_000))
    store = store or MemoryStore()
    home = Home(left.root, lambda: NOW)
    while home.visit(store, 1000, own=None, everyone=False):
        pass
    losses = home.losses()
    home.release()
    assert not left.journal.exists()
    return whole(store), losses


def kept(left: Left, file: str) -> bytes:
    """What was quarantined of a segment, at its place."""
    path = quarantine_of(left.root) / f"dead-{file.removesuffix('.seg')}.damaged"
    return path.read_bytes() if path.exists() else b""


def segments(left: Left) -> list[Path]:
    return sorted(left.journal.glob("*.seg"))


def test_every_flipped_bit_of_a_journal_costs_at_most_its_record(left, again, record_property):
    assert len(segments(left)) > 3
    tried = 0
    for path in segments(left):

        def attempt(damage: Damage, name: str = path.name) -> None:
            now = again()
            damage.do(now.journal / name)
            damaged = (now.journal / name).read_bytes()
            found, losses = adopt(now)
            hit = [event for place, event in now.ledger if place.file == name and damage.hits(place.start, place.end)]
            rest = [event for event in now.events if event not in hit]
            assert found == told(rest)
            assert losses.lost == len(hit) - (hit == now.events[-1:])
            assert losses.damaged >= 1
            byte = damage.place // 8
            assert kept(now, name)[byte : byte + 1] == damaged[byte : byte + 1]

        tried += each(flips(path.stat().st_size, 25), attempt)
    record_property("bits", f"{tried} flipped, at most the record hit was lost, none invented, each counted")


def test_a_journal_cut_at_every_length_keeps_what_is_whole(left, again, record_property):
    tried = 0
    for path in segments(left):

        def attempt(damage: Damage, name: str = path.name) -> None:
            now = again()
            damage.do(now.journal / name)
            found, losses = adopt(now)
            gone = [event for place, event in now.ledger if place.file == name and damage.hits(place.start, place.end)]
            rest = [event for event in now.events if event not in gone]
            assert found == told(rest)
            last = now.ledger[-1][0].file == name  # nothing behind it says how many there were
            assert losses.lost == (0 if last else len(gone))
            torn = [place for place, _ in now.ledger if place.file == name and place.start < damage.place < place.end]
            if torn or 0 < damage.place < FIRST:
                assert losses.damaged >= 1
                start = torn[0].start if torn else 0
                assert len(kept(now, name)) > start

        tried += each(cuts(path.stat().st_size, 12), attempt)
    record_property("lengths", f"{tried} cut, what was whole was kept, none invented")


@pytest.mark.parametrize("name", ["cursor", "process.json", "drops", "alive"])
def test_damage_to_the_files_beside_the_segments_loses_nothing(left, again, name):
    size = (left.journal / name).stat().st_size
    of = range(min(size, 128))  # what is ever written of it

    def attempt(damage: Damage) -> None:
        now = again()
        store = MemoryStore()
        drain = JournalDrain(now.journal)
        assert drain.claim()
        assert [drain.step(store, 7, dead=True) for _ in range(3)][-1]
        drain.release()
        damage.do(now.journal / name)
        found, losses = adopt(now, store)
        expected = told(now.events)
        assert {key: one.status for key, one in found.items()} == {key: one.status for key, one in expected.items()}
        assert losses == Losses()

    assert each([*flips(size, 30, of=of), *cuts(min(size, 128), 10)], attempt)


def test_what_a_journal_shed_is_still_known_with_any_bit_flipped(left, again):
    from execlog.recorder.sidecar import Drops

    drops = Drops(left.journal / "drops")
    for worth, count in ((0, 5), (1, 300), (2, 70_000)):
        for _ in range(count):
            drops.add(worth)

    def attempt(damage: Damage) -> None:
        now = again()
        damage.do(now.journal / "drops")
        _, losses = adopt(now)
        assert losses == Losses(shed=(5, 300, 70_000))

    assert each(flips(128, 30), attempt)


def test_a_bit_that_flips_under_a_living_writer_costs_its_record_alone(tmp_path):
    def attempt(damage: Damage) -> None:
        root = tmp_path / f"{damage.place}" / "journal" / "store"
        now = leave(root)
        shutil.rmtree(now.journal)
        journal = Journal(root / "live", OWNER, Limits(64 * KIB, 1024 * KIB, 0))
        places: list[tuple[int, int]] = []
        events = list(said())
        for event in events[:-5]:
            start = journal.position[1]
            journal.append(codec.encode(event))
            places.append((start, journal.position[1]))
        damage.do(segment.path_of(journal.folder, 1))
        for event in events[-5:]:
            journal.append(codec.encode(event))
        store, home = MemoryStore(), Home(root, lambda: NOW)
        while home.visit(store, 1000, own=None, everyone=True):
            pass
        home.release()
        reference = MemoryStore()
        hit = [event for event, place in zip(events, places, strict=False) if damage.hits(*place)]
        reference.apply([event for event in events if event not in hit])
        assert whole(store) == whole(reference)
        journal.close(remove=True)

    first = range(FIRST, FIRST + 2 * KIB)
    assert each(flips(2 * KIB, 40, of=first), attempt)
