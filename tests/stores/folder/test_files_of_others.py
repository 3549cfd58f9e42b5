"""Files that other hands add, replace and remove in a store of files: taken in, and compared no more than needed."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.store.files import store as files
from execlog.store.files.store import FilesStore

from .conftest import THEIRS, workflow


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
