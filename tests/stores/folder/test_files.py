"""Files as a store: their clients' layout to the letter, beside an index that can be made anew."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from execlog.core.clock import MAX_AT
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.model import Event, Item, Key, Status
from execlog.store.base import WHOLE
from execlog.store.files import store as files
from execlog.store.files.paths import path_of
from execlog.store.files.store import FilesStore
from execlog.store.opening import open_store
from execlog.store.sqlite import deleting, writing
from execlog.store.sqlite import store as sqlite

from .conftest import AT, workflow


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


def test_what_no_record_can_say_is_mended(store):
    assert store.apply([workflow(1, started_at=MAX_AT + 1), workflow(2)]).inserted == 2
    assert store.mended["out_of_range"] == 1


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
