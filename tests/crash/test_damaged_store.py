"""Databases whose bytes change or whose tails are gone: an answer is right or an error, and the doctor tells.

A damaged database is refused with what to do about it. What is recorded meanwhile waits in the journal, and goes into
the new one that is begun when the damaged one was moved away.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import apsw
import pytest

from crash.damage import Damage, cuts, each, flips
from crash.harness import LONG
from crash.recount import recount
from crash.victim import old
from execlog.cli.checkup import check_up
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Error, Event, Status
from execlog.ledger import Ledger
from execlog.store.base import WHOLE, Store
from execlog.store.opening import open_store
from execlog.store.sqlite import SQLiteStore, summing
from older import LATEST, OLDER, make_older

pytestmark = [pytest.mark.crash, pytest.mark.timeout(14_400 if LONG else 120)]
NUMBER = 60
ANSWERS = ("the list", "text", "statistics", "a window's statistics", "failures", "latest", "an item", "changes")
ELSEWHERE = "none, but other answers"
Answers = list[Any]


def told(number: int) -> Event:
    event = old("t", number)
    if number % 3:
        return event
    error = Error("Refused", f"refused: {number} " + "x" * 300)
    return Event(
        id=event.id, kind="task", at=event.at, subject="t", status=Status.FAILED, started_at=event.started_at,
        ended_at=event.ended_at, error=error, metadata={"text": f"{number} " * 200},
    )  # fmt: skip


def answers(store: Store) -> Answers:
    """Everything a store can be asked, as it answers."""
    everything = store.find(Filter(sort="oldest"), limit=1000, parts=WHOLE).entries
    return [
        everything, store.count(Filter(text="refused: 3")), store.stats(Filter(), group_by="kind"),
        store.stats(Filter(since=0, until=10**15)), store.failures(Filter()), store.latest(Filter()),
        store.find(Filter(item="a"), limit=1000).entries, store.changes(0),
    ]  # fmt: skip


def open_at(path: Path) -> Store:
    return open_store(f"sqlite:///{path}")


def attempt_at(path: Path, ask: Callable[..., Any], *more: Any) -> Any:
    """What a store at this path answers, or the error it was refused with."""
    try:
        with closing(open_at(path)) as store:
            return ask(store, *more)
    except StoreError as error:
        return error


def is_advice(said: Any) -> bool:
    """Whether it is an error that says what to do, rather than to try again."""
    return isinstance(said, StoreError) and "move it away" in str(said) and not said.retry


def doctor(path: Path, home: Path) -> str:
    """What the doctor says of the store: "ok", or what is bad, with what to do."""
    (found,) = [each for each in check_up(str(home), f"sqlite:///{path}") if each.check == "store"]
    return "ok" if found.state == "ok" else f"{found.text}; {found.advice}"


def costs_one_at_most(got: list[Any], truth: list[Any]) -> bool:
    """Whether what is found is the truth, but for one; where its id is hit, one is gone and one is new."""
    found, right = ({execution.id: execution for execution in each} for each in (got, truth))
    return sum(found.get(id_) != right.get(id_) for id_ in found.keys() | right.keys()) <= 2


@pytest.fixture
def database(tmp_path):
    """A database of a few pages, closed: all of it in one file."""
    path = tmp_path / "whole.db"
    with closing(SQLiteStore(path)) as store, mock.patch.object(summing, "TAIL", 10):
        for first in range(0, NUMBER, 10):
            store.apply([told(number) for number in range(first, first + 10)])
    return path


@pytest.fixture
def truth(database) -> Answers:
    with closing(open_at(database)) as store:
        return answers(store)


def test_a_flipped_bit_is_refused_or_costs_one_execution_or_the_doctor_tells(
    database, truth, tmp_path, record_property
):
    """A bit inside a value goes unnoticed: in an execution it costs that one, elsewhere what the value goes into."""
    path, seen, unnoticed = tmp_path / "damaged.db", Counter[str](), Counter[str]()

    def attempt(damage: Damage) -> None:
        path.write_bytes(damage.done_to(database.read_bytes()))
        got = attempt_at(path, answers)
        if isinstance(got, StoreError):
            assert not got.retry
            seen["refused"] += 1
            return
        wrong = [name for name, said, right in zip(ANSWERS, got, truth, strict=True) if said != right]
        if not wrong or "move it away" in doctor(path, tmp_path):
            seen["told" if wrong else "right"] += 1
            return
        recounted = attempt_at(path, SQLiteStore.recount)
        if isinstance(recounted, StoreError) or recounted.wrong:
            seen["told by a recount"] += 1
            return
        assert costs_one_at_most(got[0], truth[0])
        seen["one" if got[0] != truth[0] else ELSEWHERE] += 1
        unnoticed.update(wrong)

    size = database.stat().st_size
    assert size // 8192 > 20
    each(flips(size, 20, of=range(100)), attempt)
    each(flips(size, 60, most=20_000), attempt)
    assert seen["refused"]
    assert seen["right"]
    assert not LONG or seen["one"] + seen[ELSEWHERE] < seen.total() / 10
    record_property("bits", listed(seen))
    record_property("answers that were wrong, and nobody said so", listed(unnoticed))


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items()) or "none"


def test_a_database_cut_at_any_length_is_refused_and_says_what_to_do(database, tmp_path, record_property):
    path = tmp_path / "damaged.db"
    size = database.stat().st_size

    def attempt(damage: Damage) -> None:
        path.write_bytes(damage.done_to(database.read_bytes()))
        got = attempt_at(path, SQLiteStore.count, Filter())
        # An empty file is a database that was not made yet.
        assert is_advice(got) if damage.place else got == 0
        if damage.place % 8192 == 4095:
            assert "move it away" in doctor(path, tmp_path)

    tried = each(cuts(size, 25), attempt)
    record_property("lengths", f"{tried} cut, all refused")


@pytest.mark.parametrize("damage", [Damage("cut", 50_000), Damage("flip", 8 * 18), Damage("flip", 8 * 8192 * 3 + 99)])
def test_what_is_recorded_while_the_database_is_damaged_is_in_the_next_one(database, tmp_path, damage):
    home, path = tmp_path / "home", tmp_path / "home" / "execlog.db"
    home.mkdir()
    path.write_bytes(damage.done_to(database.read_bytes()))
    ledger = Ledger.open(home=home)
    for number in range(50):
        ledger.record("meanwhile", id=f"m{number}")
    ledger.flush(0.5)
    stats = ledger.stats()
    assert (stats.accepted, stats.stored + stats.pending) == (50, 50)
    ledger.close(timeout=0.1)
    for name in ("execlog.db", "execlog.db-wal", "execlog.db-shm"):
        if (home / name).exists():
            (home / name).rename(tmp_path / f"moved-{name}")
    with Ledger.open(home=home) as ledger:
        while ledger.drain_dead():
            pass
        ids = {one.id for one in ledger.store.find(Filter(kind="task", sort="oldest"), limit=1000).entries}
        # What the damaged one still took before a bad page was met is in there.
        assert ids | stored_in(tmp_path / "moved-execlog.db") == {f"m{number}" for number in range(50)}
        assert ledger.store.check()["integrity"] == "ok"


def stored_in(path: Path) -> set[str]:
    """What a damaged file has of the records made meanwhile."""
    with closing(apsw.Connection(str(path))) as connection:
        try:
            return {row[0] for row in connection.execute("select id from executions where id like 'm%'")}
        except apsw.Error:
            return set()


def test_a_damaged_write_ahead_log_costs_the_last_batches_and_nothing_after(tmp_path, record_property):
    live, path = tmp_path / "live.db", tmp_path / "damaged.db"
    batches = 12
    with closing(SQLiteStore(live)) as store:
        for number in range(batches):
            store.apply([told(batch) for batch in range(number * 5, number * 5 + 5)])
        left = {suffix: Path(f"{live}{suffix}").read_bytes() for suffix in ("", "-wal")}  # as a kill leaves it
    kept_counts: list[int] = []

    def attempt(damage: Damage) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.write_bytes(left[""])
        Path(f"{path}-wal").write_bytes(damage.done_to(left["-wal"]))
        with closing(open_at(path)) as store:
            found = store.find(Filter(sort="oldest"), limit=1000, parts=WHOLE).entries
            ids = [execution.id for execution in found]
            assert ids == [told(number).id for number in range(len(ids))]
            assert len(ids) % 5 == 0, "half a batch"
            recount(store, Filter(), found[::-1])
            store.apply([Event(id="after", kind="task", at=10**15, status=Status.SUCCEEDED)])
            assert store.get("after") is not None
            assert store.check()["integrity"] == "ok"
        with closing(open_at(path)) as store:
            assert store.count(Filter()) == len(ids) + 1
        kept_counts.append(len(ids))

    size = len(left["-wal"])
    assert size > 100_000
    tried = each([*flips(size, 30, most=5_000), *cuts(size, 20, most=5_000)], attempt)
    assert min(kept_counts) < batches * 5
    record_property("write-ahead logs", f"{tried} damaged; whole batches, none half, none invented")


@pytest.fixture
def older(tmp_path):
    """A database of the schema version before this one, as that version left it: all executions in the cells."""
    path = tmp_path / "older.db"
    with closing(SQLiteStore(path)) as store, mock.patch.object(summing, "TAIL", 1):
        store.apply([old("t", number) for number in range(20)])
    with closing(apsw.Connection(str(path))) as connection:
        make_older(connection)
        connection.execute("vacuum").fetchall()  # nobody reads free pages, nor misses what they say
    return path


def test_a_damaged_older_database_is_migrated_whole_or_left_as_it_is(older, tmp_path, record_property):
    path, seen = tmp_path / "damaged.db", {"migrated": 0, "refused": 0}

    def attempt(damage: Damage) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        path.write_bytes(before := damage.done_to(older.read_bytes()))
        got = attempt_at(path, SQLiteStore.count, Filter())
        seen["refused" if isinstance(got, StoreError) else "migrated"] += 1
        if isinstance(got, StoreError):
            assert not got.retry
            assert path.read_bytes() == before or version_of(path) in {OLDER, LATEST}
            assert doctor(path, tmp_path) != "ok"
        elif before:
            assert version_of(path) == LATEST

    size = older.stat().st_size
    header, rest = flips(size, 20, of=range(100)), flips(size, 40, most=5_000)
    each([*header, *rest, *cuts(size, 20, most=5_000)], attempt)
    assert seen["refused"]
    record_property("older databases", f"{seen['refused']} refused as they were, {seen['migrated']} migrated whole")


def version_of(path: Path) -> int:
    with closing(apsw.Connection(str(path))) as connection:
        return int(str(connection.pragma("user_version")))


@pytest.fixture
def folder(tmp_path):
    """A folder of files and its index, closed."""
    root = tmp_path / "whole"
    with closing(open_store(f"files:///{root}")) as store:
        store.apply([told(number) for number in range(8)])
    return root


@pytest.fixture
def again(folder, tmp_path):
    """A function that puts the folder back as it was, and says where."""
    root = tmp_path / "damaged"

    def restore() -> Path:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(folder, root)
        return root

    return restore


def whole_of(store: Store) -> list[Any]:
    return list(store.find(Filter(sort="oldest"), limit=1000, parts=WHOLE).entries)


def files_finding(root: Path, home: Path) -> str:
    (found,) = [each for each in check_up(str(home), f"files:///{root}") if each.check == "files"]
    return found.state


def test_a_damaged_file_changes_no_answer_and_the_doctor_tells(folder, again, tmp_path):
    name = "kinds/task/_/executions/t.0.3.json"
    with closing(open_store(f"files:///{folder}")) as store:
        truth = whole_of(store)
    assert files_finding(folder, tmp_path) == "ok"

    def attempt(damage: Damage) -> None:
        root = again()
        damage.do(root / name)
        with closing(open_store(f"files:///{root}")) as store:
            assert whole_of(store) == truth
            assert store.damaged() == [root / name]
        assert files_finding(root, tmp_path) == "bad"
        (root / ".execlog" / "written").unlink()
        assert files_finding(root, tmp_path) == "ok"

    size = (folder / name).stat().st_size
    assert each([*flips(size, 8), *cuts(size, 4)], attempt)


def test_an_index_made_anew_takes_in_every_file_that_can_be_read_and_tells_of_the_others(folder, again, tmp_path):
    name = "kinds/task/_/executions/t.0.3.json"
    with closing(open_store(f"files:///{folder}")) as store:
        truth = {execution.id: execution for execution in whole_of(store)}

    def attempt(damage: Damage) -> None:
        root = again()
        damage.do(root / name)
        for path in (root / ".execlog").glob("index.db*"):
            path.unlink()  # and the note of what was written stays
        with closing(open_store(f"files:///{root}")) as store:
            found = {execution.id: execution for execution in whole_of(store)}
            store.apply([told(9)])
        others = truth.keys() - {"t.0.3"}
        assert others <= found.keys()
        assert all(found[id_] == truth[id_] for id_ in others)
        assert (root / name).with_name("t.0.9.json").exists()
        if damage.what == "cut":
            assert found.keys() == others
            assert files_finding(root, tmp_path) == "bad"

    size = (folder / name).stat().st_size
    assert each([*flips(size, 8), *cuts(size, 6)], attempt)


def test_a_damaged_note_of_what_was_written_leaves_no_file_out(folder, again):
    written = folder / ".execlog" / "written"

    def attempt(damage: Damage) -> None:
        root = again()
        damage.do(root / ".execlog" / "written")
        with closing(open_store(f"files:///{root}")) as store:
            store.apply([told(9)])
            assert store.damaged() == []
        assert len(list(root.rglob("t.0.*.json"))) == 9

    size = written.stat().st_size
    assert each([*flips(size, 20), *cuts(size, 12)], attempt)


@pytest.mark.parametrize("name", ["index.db", "jobs.db"])
def test_a_damaged_index_or_file_of_jobs_is_refused_and_says_what_to_do(folder, again, name):
    with closing(open_store(f"files:///{folder}")) as store:
        store.open_jobs().close()
        truth = whole_of(store)

    def attempt(damage: Damage) -> None:
        root = again()
        damage.do(root / ".execlog" / name)

        def ask(store: Any) -> list[Any]:
            jobs = store.open_jobs()
            assert jobs.list().entries == ()
            jobs.close()
            store.check()
            return whole_of(store)

        try:
            with closing(open_store(f"files:///{root}")) as store:
                got = ask(store)
        except StoreError as error:
            got = error
        assert is_advice(got) or costs_one_at_most(got, truth)
        if is_advice(got):
            for path in (root / ".execlog").glob(f"{name}*"):
                path.rename(root / path.name)
            with closing(open_store(f"files:///{root}")) as store:
                assert ask(store) == truth

    size = (folder / ".execlog" / name).stat().st_size
    assert each([*flips(size, 10, most=3_000), *cuts(size, 6, most=3_000)], attempt)
