"""Files as a store: their clients' layout to the letter, beside an index that can be made anew."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from execlog.core.clock import MAX_AT
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Event, Item, Key, Status, Usage
from execlog.store.base import WHOLE
from execlog.store.files import store as files
from execlog.store.files.paths import path_of
from execlog.store.files.store import FilesStore
from execlog.store.opening import open_store
from execlog.store.sqlite import deleting, writing
from execlog.store.sqlite import store as sqlite

AT = 1_700_000_000_000_000
THEIRS = {
    "id": "theirs",
    "projectId": "proj-1",
    "status": "completed",
    "startedAt": "2024-01-01T10:00:00Z",
    "completedAt": "2024-01-01T10:00:05Z",
    "duration": 5000,
    "tokenUsage": {"input": 100, "output": 50, "total": 150},
    "costUSD": 0.001,
}


@pytest.fixture
def store(tmp_path):
    opened = FilesStore(tmp_path)
    yield opened
    opened.close()


def workflow(number: int, **fields) -> Event:
    said = {"status": Status.SUCCEEDED, "started_at": AT + number, "ended_at": AT + number + 10, "duration": 0.00001}
    said |= {"kind": "workflow", "namespace": "proj-1", "usage": {"m": Usage(100, 50, cost_nano=1_000_000)}}
    return Event(id=f"exec-{number}", at=AT + number, **(said | fields))


def test_a_workflow_is_a_file_of_the_contract(store, tmp_path):
    store.apply([workflow(1, items=(Item(key="fetch", status=Status.SUCCEEDED),))])
    path = tmp_path / "projects" / "proj-1" / "executions" / "exec-1.json"
    text = path.read_text("utf-8")
    record = json.loads(text)
    assert text.startswith('{\n  "id": "exec-1"')
    assert (record["projectId"], record["status"]) == ("proj-1", "completed")
    assert record["tokenUsage"] == {"input": 100, "output": 50, "total": 150}
    assert record["costUSD"] == 0.001
    assert [step["id"] for step in record["steps"]] == ["fetch"]
    assert [entry.name for entry in path.parent.iterdir()] == ["exec-1.json"]


def test_other_kinds_have_the_same_scheme(store, tmp_path):
    store.apply([Event(id="e", kind="my/kind", namespace="", at=AT, status=Status.RUNNING)])
    assert (tmp_path / "kinds" / "my%2Fkind" / "_" / "executions" / "e.json").is_file()


@pytest.mark.parametrize("id_", ["../escape", "a/b", "a\\b", "nul\0", "", "x" * 101])
def test_an_id_that_would_escape_is_refused_and_the_rest_kept(store, tmp_path, id_):
    applied = store.apply([workflow(1), Event(id=id_, kind="workflow", namespace="proj-1", at=AT)])
    assert (applied.inserted, applied.quarantined) == (1, 1)
    assert [path.name for path in tmp_path.rglob("*.json")] == ["exec-1.json"]


def test_the_longest_ids_have_files_too(store, tmp_path):
    store.apply([workflow(1, kind="workflow") for _ in range(1)])
    store.apply([Event(id="\u4ef7" * 100, kind="workflow", namespace="proj-1", at=AT, status=Status.RUNNING)])
    assert store.get("\u4ef7" * 100) is not None
    assert len(list(tmp_path.rglob("*.json"))) == 2


LONG = "\u6587" * 100


@pytest.mark.parametrize(
    ("kind", "namespace", "id_"),
    [
        ("workflow", LONG, "e"),
        ("workflow", "shop", "\u6587" * 77),
        ("query", LONG, "e"),
        ("query", "x" * 260, "e"),
        ("k" * 260, "", "e"),
        ("projects", "a", "e"),
        ("", "", "e"),
        ("", "..", "e"),
        (".", "a", "e"),
        ("..", "", "e"),
        ("job", ".", "e"),
        ("job", "..", "e"),
        ("job", "a/../b", "e"),
        ("workflow", "a/b", "e"),
        ("workflow", "a\\b", "e"),
        ("workflow", ".", "e"),
        ("workflow", "..", "e"),
        ("workflow", "../../out", "e"),
        ("workflow", "p" * 101, "e"),
        ("workflow", "a\u2028b", "e"),
    ],
)
def test_every_name_has_a_file_that_a_lost_index_is_made_anew_from(store, tmp_path, kind, namespace, id_):
    assert tmp_path in path_of(tmp_path, Key(kind, namespace, id_)).resolve().parents
    said = Event(id=id_, kind=kind, namespace=namespace, at=AT, status=Status.RUNNING)
    assert store.apply([workflow(1), said]).quarantined == 0
    before = store.find(Filter(), parts=WHOLE).entries
    assert len(before) == len(list(tmp_path.rglob("executions/*.json"))) == 2
    store.close()
    shutil.rmtree(tmp_path / ".execlog")
    again = FilesStore(tmp_path)
    assert again.find(Filter(), parts=WHOLE).entries == before
    again.apply([workflow(2, kind=kind, namespace=namespace)])
    again._take_in(path_of(tmp_path, said.key).parent)
    assert again.count(Filter()) == 3
    path_of(tmp_path, said.key).unlink()
    again._take_in(path_of(tmp_path, said.key).parent)
    assert again.get(id_, kind=kind) is None
    assert again.damaged() == []
    again.close()


def test_no_two_executions_share_a_file():
    hashed = path_of(Path(), Key("k", "", ".x")).stem
    keys = [Key("k", "_", "e"), Key("k", "", "e"), Key("k", "", ".x"), Key("k", "", hashed)]
    keys += [Key("k", "y" * 300, "e"), Key("k", path_of(Path(), Key("k", "y" * 300, "e")).parent.parent.name, "e")]
    keys += [Key("..", "", "e"), Key("", "", "e"), Key("", "..", "e"), Key("workflow", "a/b", "e")]
    keys += [Key("workflow", path_of(Path(), Key("workflow", "a/b", "e")).parent.parent.name, "e")]
    assert len({path_of(Path(), key) for key in keys}) == len(keys)


def test_a_deleted_execution_takes_its_file_along(store, tmp_path):
    store.apply([workflow(1), workflow(2)])
    assert store.delete(Filter(ids=("exec-1",))) == 1
    assert [path.name for path in tmp_path.rglob("*.json")] == ["exec-2.json"]


def test_more_may_be_deleted_than_changes_are_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHANGES_KEPT", 10)
    monkeypatch.setattr(writing, "_TRIM_EVERY", 10)
    for module in (deleting, sqlite):
        monkeypatch.setattr(module, "CHUNK", 10)
    for number in range(0, 100, 10):
        store.apply([workflow(number + each) for each in range(10)])
    assert store.delete(Filter(), keep_marks=False) == 100
    assert not list(tmp_path.rglob("exec-*.json"))


def test_files_of_other_hands_are_taken_in(tmp_path):
    folder = tmp_path / "projects" / "proj-1" / "executions"
    folder.mkdir(parents=True)
    (folder / "theirs.json").write_text(json.dumps(THEIRS))
    (folder / "broken.json").write_text("{")
    store = FilesStore(tmp_path)
    found = store.get("theirs")
    assert (found.status, found.duration, found.tokens, found.cost_nano) == ("succeeded", 5.0, (100, 50), 1_000_000)
    assert (folder / "broken.json").read_text() == "{"
    store.close()
    (folder / "theirs.json").unlink()
    with_less = FilesStore(tmp_path)
    assert with_less.get("theirs") is None
    with_less.close()


def test_a_deletion_takes_along_what_other_hands_wrote_just_before(store, tmp_path):
    store.apply([workflow(1)])
    path = tmp_path / "projects" / "proj-1" / "executions" / "theirs.json"
    path.write_text(json.dumps(THEIRS))
    assert store.delete(Filter(kind="workflow", namespace="proj-1")) == 2
    assert not path.exists()


def test_a_file_that_has_another_name_than_its_execution_is_left_alone_and_told_of(tmp_path):
    """A copy, or a damaged id: what it says must not be said of the execution whose id that is."""
    folder = tmp_path / "projects" / "proj-1" / "executions"
    folder.mkdir(parents=True)
    (folder / "theirs.json").write_text(json.dumps(THEIRS))
    (folder / "copy.json").write_text(json.dumps(THEIRS | {"status": "failed", "completedAt": "2025-01-01T00:00:00Z"}))
    opened = FilesStore(tmp_path)
    assert [entry.status for entry in opened.find(Filter(kind="workflow")).entries] == [Status.SUCCEEDED]
    assert opened.damaged() == [folder / "copy.json"]
    opened.close()


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (json.dumps(THEIRS | {"execlog": "v1"}), True),
        (json.dumps(THEIRS | {"execlog": 7}), True),
        (json.dumps(THEIRS | {"execlog": [1]}), True),
        (json.dumps(THEIRS | {"execlog": {"id": "theirs"}}), False),
        (json.dumps(THEIRS | {"startedAt": "9999-12-31T23:59:59-05:00"}), True),
        (json.dumps(THEIRS | {"startedAt": "0001-01-01T00:00:00+05:00"}), True),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, False),
        ("[1, 2]", False),
    ],
)
def test_no_file_of_other_hands_keeps_the_store_from_opening(tmp_path, text, taken):
    path = tmp_path / "projects" / "proj-1" / "executions" / "theirs.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    opened = FilesStore(tmp_path)
    assert (opened.get("theirs") is not None) is taken
    assert opened.damaged() == ([] if taken else [path])
    opened.close()


def test_what_no_record_can_say_is_mended(store):
    assert store.apply([workflow(1, started_at=MAX_AT + 1), workflow(2)]).inserted == 2
    assert store.mended["out_of_range"] == 1


def test_files_of_other_hands_are_not_overlooked_beside_ones_own(store, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOOK_EVERY", 0.0)
    store.apply([workflow(1)])
    assert store.count(Filter()) == 1
    folder = tmp_path / "projects" / "proj-1" / "executions"
    (folder / "theirs.json").write_text(json.dumps(THEIRS))
    (folder / "exec-1.json").unlink()
    later = folder.stat().st_mtime_ns + 1_000_000_000  # two changes within a tick of the kernel's clock look like one
    os.utime(folder, ns=(later, later))
    store.apply([workflow(2)])
    assert {entry.id for entry in store.find(Filter()).entries} == {"theirs", "exec-2"}


def test_who_writes_beside_another_does_not_compare_a_slow_folder_all_the_time(store, tmp_path, monkeypatch):
    compared = []

    def compare(self, folder):
        compared.append(folder)
        time.sleep(0.05)

    monkeypatch.setattr(files, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(files, "RESTS", 1_000)
    monkeypatch.setattr(FilesStore, "_take_in", compare)
    other = FilesStore(tmp_path)
    for number in range(1, 6):
        other.apply([workflow(number)])
        time.sleep(0.03)
        store.apply([workflow(number, kind="query")])
    other.close()
    assert 1 <= len(compared) <= 4


def test_what_another_process_wrote_or_compared_is_not_compared_again(store, tmp_path, monkeypatch):
    compared = []
    real = FilesStore._known
    monkeypatch.setattr(files, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(FilesStore, "_known", lambda self, folder: compared.append(folder) or real(self, folder))
    other = FilesStore(tmp_path)
    for number in range(4):
        other.apply([workflow(number)])
        assert store.count(Filter()) == number + 1
    other.close()
    FilesStore(tmp_path).close()
    assert compared == []
    folder = tmp_path / "projects" / "proj-1" / "executions"
    (folder / "theirs.json").write_text(json.dumps(THEIRS))
    later = folder.stat().st_mtime_ns + 1_000_000  # as above
    os.utime(folder, ns=(later, later))
    assert store.get("theirs") is not None
    assert compared != []


def test_a_folder_of_no_namespace_beside_others_of_its_kind_is_not_compared_at_the_next_opening(
    store, tmp_path, monkeypatch
):
    real, compared = FilesStore._known, []
    places = [("query", ""), ("query", "a"), ("query", "b"), ("job", ""), ("workflow", ""), ("workflow", "p")]
    running = {"status": Status.RUNNING, "ended_at": None, "duration": None}
    for number, (kind, namespace) in enumerate(places * 2):
        store.apply([workflow(number, kind=kind, namespace=namespace, **(running if number % 3 else {}))])
    store.close()
    monkeypatch.setattr(FilesStore, "_known", lambda self, folder: compared.append(folder) or real(self, folder))
    FilesStore(tmp_path).close()
    assert compared == []


def test_a_file_that_goes_without_a_change_of_its_folders_time_is_missed_at_the_next_opening(store, tmp_path):
    store.apply([workflow(1), workflow(2)])
    store.close()
    folder = tmp_path / "projects" / "proj-1" / "executions"
    was = folder.stat().st_mtime_ns
    (folder / "exec-1.json").unlink()
    os.utime(folder, ns=(was, was))
    again = FilesStore(tmp_path)
    assert [entry.id for entry in again.find(Filter()).entries] == ["exec-2"]
    again.close()


@pytest.mark.parametrize("reopened", [False, True])
def test_a_file_that_another_program_replaces_is_taken_in(tmp_path, monkeypatch, reopened):
    monkeypatch.setattr(files, "LOOK_EVERY", 0.0)
    path = tmp_path / "projects" / "proj-1" / "executions" / "theirs.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(THEIRS | {"status": "running", "completedAt": None}))
    store = FilesStore(tmp_path)
    assert store.get("theirs").status == Status.RUNNING
    if reopened:
        store.close()
    temporary = path.with_name(".theirs.tmp")
    temporary.write_text(json.dumps(THEIRS))
    temporary.replace(path)
    later = path.parent.stat().st_mtime_ns + 1_000_000  # as above
    os.utime(path.parent, ns=(later, later))
    if reopened:
        store = FilesStore(tmp_path)
    found = store.get("theirs")
    assert (found.status, found.duration) == (Status.SUCCEEDED, 5.0)
    store.close()


@pytest.mark.parametrize("reopened", [False, True])
def test_a_folder_that_is_removed_takes_its_executions_along(store, tmp_path, monkeypatch, reopened):
    monkeypatch.setattr(files, "LOOK_EVERY", 0.0)
    store.apply([workflow(1), workflow(2, namespace="proj-2"), workflow(3, kind="query", namespace="a")])
    if reopened:
        store.close()
    for folder in ("projects/proj-1", "kinds"):
        shutil.rmtree(tmp_path / folder)
    if reopened:
        store = FilesStore(tmp_path)
    assert [entry.id for entry in store.find(Filter()).entries] == ["exec-2"]
    store.apply([workflow(4)])
    assert store.count(Filter()) == 2
    store.close()


def test_a_file_that_is_missing_is_told_of(store, tmp_path):
    store.apply([workflow(1), workflow(2)])
    path = tmp_path / "projects" / "proj-1" / "executions" / "exec-1.json"
    path.unlink()
    assert store.damaged() == [path]


def test_others_write_while_all_files_are_compared(store, tmp_path, monkeypatch):
    store.apply([workflow(number) for number in range(6)])
    theirs = tmp_path / "projects" / "proj-1" / "executions" / "copy.json"
    alone, turns = FilesStore._alone, []
    other = FilesStore(tmp_path)

    @contextmanager
    def in_turn(self):
        with alone(self):
            yield
        if self is store:
            turns.append(1)
            if len(turns) == 1:
                other.apply([workflow(7), workflow(0, started_at=AT + 100)])  # the oldest is the newest from now on
                other.delete(Filter(ids=("exec-1",)))
                theirs.write_bytes(theirs.with_name("exec-2.json").read_bytes())

    monkeypatch.setattr(files, "CHUNK", 2)
    monkeypatch.setattr(FilesStore, "_alone", in_turn)
    assert store.damaged() == []
    assert len(turns) >= 3
    assert store.damaged() == [theirs]
    other.close()


def test_a_lost_index_is_made_anew_from_the_files(store, tmp_path):
    store.apply(
        [workflow(1), workflow(2, status=Status.FAILED), Event(id="q", kind="query", at=AT, status=Status.RUNNING)]
    )
    before = store.find(Filter(), parts=WHOLE).entries
    store.close()
    shutil.rmtree(tmp_path / ".execlog")
    again = FilesStore(tmp_path)
    assert again.find(Filter(), parts=WHOLE).entries == before
    assert again.stats(Filter()) != []
    again.close()


def test_an_index_that_was_removed_under_a_store_is_not_written_any_more(store, tmp_path):
    store.apply([workflow(1), workflow(2)])
    shutil.rmtree(tmp_path / ".execlog")
    with pytest.raises(StoreError, match="open the store anew"):
        store.apply([workflow(3)])
    other = FilesStore(tmp_path)
    other.delete(Filter(ids=("exec-1",)))
    with pytest.raises(StoreError, match="open the store anew"):
        store.apply([workflow(3)])
    assert [path.name for path in tmp_path.rglob("exec-*.json")] == ["exec-2.json"]
    other.close()


def test_what_is_said_after_an_index_was_lost_gets_its_files_too(store, tmp_path):
    store.apply([workflow(number) for number in range(10)])
    store.delete(Filter(ids=tuple(f"exec-{number}" for number in range(8))))
    store.close()
    for path in (tmp_path / ".execlog").glob("index.db*"):  # the notes beside it are still there
        path.unlink()
    again = FilesStore(tmp_path)
    again.apply([workflow(number) for number in range(20, 23)])
    again.close()
    assert len(list(tmp_path.rglob("exec-*.json"))) == 5
    another = FilesStore(tmp_path)
    assert another.count(Filter()) == 5
    another.close()


def test_files_left_behind_by_a_crash_are_written_by_the_next_one(store, tmp_path):
    store.apply([workflow(1)])
    store._index.apply([workflow(2)])  # what a process leaves that dies before it writes the files
    store.close()
    again = open_store(f"files:///{tmp_path}")
    assert sorted(path.name for path in tmp_path.rglob("*.json")) == ["exec-1.json", "exec-2.json"]
    again.close()
