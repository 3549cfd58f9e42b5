"""kill -9 at random moments of everything that is not recording: what it said it did is done, nothing else is.

Retention, migration, copying, schedulers, the rebuilding of an index. A round counts when something was acknowledged in
it; each is compared with what was there and what was acknowledged, and the statistics with a recount.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path

import apsw
import psycopg
import pytest

import servers
from crash.harness import LONG, Acks, Forked, Scene, Zygote, everything, fill_as_before, wait_until
from crash.places import PLACES, SETTINGS, url_of
from crash.recount import recount
from crash.victim import BATCH, old
from execlog.cli.main import main
from execlog.core.filter import Filter
from execlog.core.model import OPEN, Status
from execlog.kinds.jobs import Call, Interval, Job, Misfire, SchedulerServingApp
from execlog.store.base import WHOLE, Store
from execlog.store.opening import open_store
from execlog.store.schemas import schema_of
from older import LATEST, OLDER, POSTGRES, make_older_postgres

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7200 if LONG else 150)]
ROUNDS = 200 if LONG else 3
A_DAY = 10  # executions of `old`
DAYS_AHEAD, DAYS_MORE = 20, 60
COPIES, COPIED = 50 if LONG else 1, 1000
DATABASES, IN_EACH = 8, 200
JOBS, EVERY_SECONDS = 4, 0.05
MOMENT = 0.05
MOMENTS = 40 if LONG else 3
MADE = [
    "select version from execlog_schema order by version",
    r"select * from information_schema.columns where table_schema = 'public' and table_name !~ '\d\d$' order by 3, 5",
    r"select indexdef from pg_indexes where schemaname = 'public' and tablename !~ '\d\d$' order by 1",
    "select viewname, definition from pg_views where schemaname = 'public' order by 1",
    "select proname, prosrc from pg_proc where pronamespace = 'public'::regnamespace order by 1, 2",
]
"""All that a migration makes; months are made as time goes on."""


@pytest.fixture(params=PLACES)
def scene(request, tmp_path):
    return Scene(tmp_path, url_of(request.param, request, tmp_path), SETTINGS)


@pytest.fixture(scope="module")
def zygote():
    started = Zygote()
    yield started
    started.close()


def strike(zygote: Zygote, task: dict, acks: Acks, at: int, chance: random.Random) -> None:
    """Kill it a moment after it has acknowledged so much; 0: a moment after it began."""
    victim = zygote.start(task)
    wait_until(lambda: acks.total() >= at or victim.has_ended(), f"{at} acknowledged")
    time.sleep(chance.uniform(0, MOMENT))
    victim.kill()


def numbers(store: Store, tag: str) -> set[int]:
    """Which of `old` there are of this tag; the statistics must know of the same."""
    found = everything(store, Filter(subject=tag))
    ids = [execution.id for execution in found]
    assert len(ids) == len(set(ids))
    recount(store, Filter(subject=tag), found)
    return {int(id_.rpartition(".")[2]) for id_ in ids}


def test_retention_that_is_killed(scene, zygote, record_property):
    chance, tag = random.Random(51), "pruned"
    effective = gone = filled = 0
    with closing(scene.open()) as ledger:
        store = ledger.store
        while effective < ROUNDS:
            if filled - gone < DAYS_AHEAD:
                store.apply([old(tag, number) for number in range(filled * A_DAY, (filled + DAYS_MORE) * A_DAY)])
                filled += DAYS_MORE
            acks = scene.acks(tag)
            task = scene.task(tag, acks, work="prune on", first=gone + 1, last=filled - 1)
            strike(zygote, task, acks, chance.choice([0, gone + chance.randrange(1, 10)]), chance)
            now, there = max(gone, acks.total()), numbers(store, tag)
            assert not there & set(range(now * A_DAY)), "what was removed came back"
            assert there >= set(range((now + 1) * A_DAY, filled * A_DAY)), "more is gone than was to go"
            effective, gone = effective + (now > gone), now
    record_property("retention", f"{effective} effective rounds, {gone} days removed, 0 lost, 0 back")


def test_a_migration_that_is_killed(tmp_path, zygote, record_property):
    chance, effective = random.Random(52), 0
    older = tmp_path / "older.db"
    fill_as_before(older, [old("t", number) for number in range(IN_EACH)])
    paths = [tmp_path / f"{number}.db" for number in range(DATABASES)]
    while effective < ROUNDS:
        for path in paths:
            for left in tmp_path.glob(f"{path.name}*"):
                left.unlink()
            shutil.copyfile(older, path)
        scene = Scene(tmp_path, f"sqlite:///{paths[0]}")
        acks = scene.acks("migrated")
        urls = [f"sqlite:///{path}" for path in paths]
        task = scene.task("t", acks, work="migrate", urls=urls)
        strike(zygote, task, acks, chance.randrange(DATABASES), chance)
        versions = [version_of(path) for path in paths]
        assert versions[: acks.total()] == [LATEST] * acks.total(), "what was acknowledged was undone"
        assert set(versions[acks.total() + 1 :]) <= {OLDER}
        for url in urls:
            with closing(open_store(url)) as store:
                assert numbers(store, "t") == set(range(IN_EACH))
                facts = store.check()
                assert (facts["integrity"], facts["schema"]) == ("ok", str(LATEST))
        effective += acks.total() > 0 and not acks.ended()
    record_property("migration", f"{effective} effective rounds, 0 lost, 0 undone")


def version_of(path: Path) -> int:
    with closing(apsw.Connection(str(path))) as connection:
        return connection.pragma("user_version")


@pytest.mark.postgres
@pytest.mark.parametrize("version", range(POSTGRES))
def test_a_migration_of_postgresql_that_is_killed(postgres, tmp_path, zygote, version, record_property):
    chance, wanted = random.Random(version), set(range(IN_EACH if version else 0))
    with older_postgres(postgres, version) as url:
        scene = Scene(tmp_path, url)
        whole, took = migrate_whole(scene, postgres, zygote)
        effective = undone = 0
        for number in range(MOMENTS):
            put_back(postgres)
            acks = scene.acks("migrated")
            victim = zygote.start(scene.task("t", acks, work="migrate"))
            time.sleep(took * (number + chance.random()) / MOMENTS)
            victim.kill()
            effective += not acks.total()
            found = schema_of(url).version
            assert found in {version, POSTGRES}, "a part of it was kept"
            undone += found < POSTGRES
            with closing(open_store(url)) as store:
                assert numbers(store, "t") == wanted
                assert "warning" not in store.check(), "text searches have no index"
            assert everything_made(url) == whole
        assert effective
    record_property("migration", f"{effective} effective rounds, {undone} undone, 0 lost, 0 by halves")


@contextmanager
def older_postgres(server: servers.Postgres, version: int) -> Iterator[str]:
    """The URL of a database for copies of one that is of an earlier version; version 0 has nothing in it."""
    server.execute("create database older")
    url = server.database_url("older")
    try:
        if version:
            with closing(open_store(url)) as store:
                store.apply([old("t", number) for number in range(IN_EACH)])
            with psycopg.connect(url) as connection:
                make_older_postgres(connection, version)
        yield server.database_url("copy")
    finally:
        for name in ("copy", "older"):
            server.execute(f"drop database if exists {name} with (force)")


def put_back(server: servers.Postgres) -> None:
    server.execute("drop database if exists copy with (force)")
    server.execute("create database copy template older")


def migrate_whole(scene: Scene, server: servers.Postgres, zygote: Zygote) -> tuple[list[object], float]:
    """What a migration that nobody kills leaves, and how long it takes."""
    put_back(server)
    acks, began = scene.acks("whole"), time.monotonic()
    zygote.start(scene.task("t", acks, work="migrate")).wait()
    took = time.monotonic() - began
    assert acks.ended()
    return everything_made(scene.store), took


def everything_made(url: str) -> list[object]:
    """Every column, index, view and function of execlog's, and which migrations were applied."""
    with psycopg.connect(url) as connection:
        return [connection.execute(question).fetchall() for question in MADE]


def test_a_copy_that_is_killed_and_begun_anew(scene, zygote, monkeypatch, capsys, record_property):
    monkeypatch.setenv("EXECLOG_REDIS_HISTORY_LIMIT", str(SETTINGS["redis_history_limit"]))
    chance, effective, rounds = random.Random(53), 0, 0
    source_url = f"sqlite:///{scene.folder}/source.db"
    with closing(open_store(source_url)) as source, closing(scene.open()) as ledger:
        while effective < COPIES:
            tag, rounds = f"copy{rounds}", rounds + 1
            source.apply([old(tag, number) for number in range(COPIED)])
            acks = scene.acks(tag)
            task = scene.task(tag, acks, work="copy", source=source_url)
            strike(zygote, task, acks, chance.randrange(COPIED), chance)
            assert numbers(ledger.store, tag) >= set(range(acks.total())), "what was copied is not there"
            assert main(["copy", source_url, scene.store, "--subject", tag, "--home", scene.home]) == 0
            assert capsys.readouterr().out
            assert numbers(ledger.store, tag) == set(range(COPIED))
            assert whole(ledger.store, tag) == whole(source, tag)
            effective += 0 < acks.total() < COPIED
            for store in (source, ledger.store):
                store.delete(Filter(subject=tag), keep_marks=False)
    record_property("copy", f"{effective} effective rounds of {COPIED} executions, 0 lost, 0 doubled")


def whole(store: Store, tag: str) -> list[object]:
    return list(store.find(Filter(subject=tag, sort="oldest"), limit=500, parts=WHOLE).entries)


def test_two_schedulers_that_are_killed_in_turn(scene, zygote, record_property):
    chance, path = random.Random(54), scene.folder / "marks"
    with scene.open() as ledger, SchedulerServingApp(ledger) as app, ExitStack() as stack:
        for number in range(JOBS):
            app.desk.create(job(number, path))
        running = [begin(scene, zygote, stack) for _ in range(2)]
        for _ in range(ROUNDS):
            before = len(marks(path))
            wait_until(lambda before=before: len(marks(path)) > before + 10, "jobs to run", 60)
            time.sleep(chance.uniform(0, 0.1))
            running.pop(chance.randrange(2)).kill()
            assert max(Counter(marks(path)).values()) == 1, "an execution ran twice"
            running.append(begin(scene, zygote, stack))
        for number in range(JOBS):
            app.desk.set_enabled(f"j{number}", enabled=False)
        wait_until(lambda: not app.jobs.firings(), "the last jobs to end", 60)
        for victim in running:
            victim.kill()
        while ledger.drain_dead():
            pass
        counted = Counter(marks(path))
        ran = sum(judge_job(ledger.store, number, counted) for number in range(JOBS))
        assert not counted, "what ran is not in the history"
    record_property("schedulers", f"{ROUNDS} kills, {ran} instants, each run once or said to have crashed")


def begin(scene: Scene, zygote: Zygote, stack: ExitStack) -> Forked:
    victim = zygote.start(scene.task("scheduler", scene.acks("scheduler"), work="schedule"))
    stack.callback(victim.kill)
    return victim


def job(number: int, path: Path) -> Job:
    return Job(
        id=f"j{number}", name="J", run=Call("victim:mark", {"path": str(path)}), trigger=Interval(EVERY_SECONDS),
        misfire=Misfire("all", 3600.0), overlap="allow",
    )  # fmt: skip


def marks(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def judge_job(store: Store, number: int, counted: Counter[str]) -> int:
    """How many instants of a job there were; what ran is taken out of the count."""
    question = Filter(kind="job", subject=f"j{number}")
    found = everything(store, question)
    assert not [one for one in found if one.status in OPEN]
    recount(store, question, found)
    instants = sorted(one.queued_at for one in found)
    assert {later - sooner for sooner, later in pairwise(instants)} == {round(EVERY_SECONDS * 1e6)}
    for one in found:
        assert one.status in {Status.SUCCEEDED, Status.CRASHED}
        assert counted.pop(one.id, 0) == 1 or one.status is Status.CRASHED
    return len(found)


@pytest.mark.parametrize("lost", ["index", "index and notes"])
def test_an_index_whose_rebuilding_is_killed(tmp_path, zygote, lost, record_property):
    chance, effective, rounds = random.Random(lost), 0, 0
    root = tmp_path / "store"
    scene = Scene(tmp_path, f"files:///{root}")
    with closing(open_store(scene.store)) as store:
        store.apply([old("before", number) for number in range(IN_EACH)])
    known: dict[str, Acks] = {}
    while effective < (ROUNDS if LONG else 2):
        tag, rounds = f"r{rounds}", rounds + 1
        for path in (root / ".execlog").glob("index.db*" if lost == "index" else "*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        known[tag] = acks = scene.acks(tag)
        strike(zygote, scene.task(tag, acks, work="rebuild"), acks, chance.randrange(5) * BATCH, chance)
        with closing(open_store(scene.store)) as store:
            assert numbers(store, "before") == set(range(IN_EACH))
            for each, said in known.items():
                count = said.total()
                assert numbers(store, each) in (set(range(count)), set(range(count + BATCH)))
            facts = store.check()
            assert facts["integrity"] == "ok"
            assert facts["files"] == facts["executions"]
            for each in list(known)[:-2]:  # that little is read again and again
                store.delete(Filter(subject=each), keep_marks=False)
                del known[each]
        effective += acks.total() > 0
    record_property(f"lost {lost}", f"{effective} effective rounds, 0 lost, 0 doubled")
