"""Every crash point: killed before each writing system call, with and without the power going too, then reopened.

Each part does its work in one thread, so that strace's count of calls names the same point every time. `make crash`
goes through all of them, the short form through a sample.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from crash.disk import NoDiskError, PowerDisk
from crash.harness import (
    LONG,
    Acks,
    Scene,
    Zygote,
    check,
    everything,
    fill_as_before,
    injecting,
    need_strace,
    start,
)
from crash.recount import recount
from crash.victim import BATCH, DAY, old
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.store.base import WHOLE
from execlog.store.opening import open_store
from older import LATEST

pytestmark = pytest.mark.crash
SAMPLE = 3
KEPT, OLD, TARGET = 20, 40, "export.ndjson"
BEFORE = DAY + OLD * DAY // 10


class Part(NamedTuple):
    """What is there `before`, what the victim does, how what it left is `judged`; how many calls there are at least."""

    judge: Callable[[Scene, str, Acks], None]
    task: dict[str, Any]
    least: dict[str, int]
    before: Callable[[Scene, str], None] = lambda *_: None
    scheme: str = "sqlite"


def judge_recorded(scene: Scene, tag: str, acks: Acks) -> None:
    with scene.open() as ledger:
        check(ledger, tag, acks)
        assert ledger.store.check()["integrity"] == "ok"
        assert sum(ledger.losses().shed) == 0


def leave_journal(scene: Scene, tag: str) -> None:
    """A journal of a dead process, and nobody took it in yet."""
    undrained = Scene(scene.folder, scene.store, scene.settings | {"drain": "server"}, scene.home)
    victim = start(undrained.task(tag, undrained.acks("left"), how="mixed", count=40, ends="kill"))
    assert victim.wait(60) < 0


def judge_drained(scene: Scene, tag: str, acks: Acks) -> None:
    del acks
    judge_recorded(scene, tag, scene.known_acks("left"))


def judge_applied(scene: Scene, tag: str, acks: Acks) -> None:
    """A batch is there whole, or not at all; one that was acknowledged is there."""
    with closing(open_store(scene.store)) as store:
        found = everything(store, Filter(subject=tag))
        batches = {int(one.id.rpartition(".")[2]) // BATCH for one in found}
        assert len(found) == len(batches) * BATCH
        assert batches == set(range(len(batches)))
        assert len(batches) * BATCH in {acks.counts()[0], acks.counts()[0] + BATCH}
        running = [one for one in found if one.status is Status.RUNNING]
        assert len(running) == (BATCH if found else 0)
        recount(store, Filter(subject=tag), found)
        facts = store.check()
        assert facts["integrity"] == "ok"
        assert facts.get("files", facts["executions"]) == facts["executions"]
    for path in Path(scene.home).parent.rglob("executions/[!.]*.json"):
        json.loads(path.read_bytes())  # whole, each of them


def fill(scene: Scene, tag: str) -> None:
    with closing(open_store(scene.store)) as store:
        store.apply([old(tag, number) for number in range(OLD + KEPT)])


def judge_pruned(scene: Scene, tag: str, acks: Acks) -> None:
    with closing(open_store(scene.store)) as store:
        found = everything(store, Filter(subject=tag))
        numbers = {int(one.id.rpartition(".")[2]) for one in found}
        assert set(range(OLD, OLD + KEPT)) <= numbers
        assert not (acks.total() and min(numbers) < OLD), "what was acknowledged as gone came back"
        recount(store, Filter(subject=tag), found)
        assert store.check()["integrity"] == "ok"


def fill_older(scene: Scene, tag: str) -> None:
    fill_as_before(Path(scene.store.removeprefix("sqlite:///")), [old(tag, number) for number in range(KEPT)])


def judge_migrated(scene: Scene, tag: str, acks: Acks) -> None:
    if acks.total():
        with closing(apsw.Connection(scene.store.removeprefix("sqlite:///"))) as connection:
            assert connection.pragma("user_version") == LATEST, "what was acknowledged was undone"
    with closing(open_store(scene.store)) as store:
        found = everything(store, Filter())
        assert {one.id for one in found} == {old(tag, number).id for number in range(KEPT)}
        recount(store, Filter(), found)
        assert all(store.find(Filter(ids=(one.id,)), parts=WHOLE).entries[0].items for one in found)
        facts = store.check()
        assert (facts["integrity"], facts["schema"]) == ("ok", str(LATEST))


def fill_and_export(scene: Scene, tag: str) -> None:
    fill(scene, tag)
    (Path(scene.home).parent / TARGET).write_text("what was exported before\n")


def judge_exported(scene: Scene, tag: str, acks: Acks) -> None:
    written = (Path(scene.home).parent / TARGET).read_text()
    if acks.total() or written != "what was exported before\n":
        ids = [json.loads(line)["id"] for line in written.splitlines()]
        assert sorted(ids) == sorted(old(tag, number).id for number in range(OLD + KEPT))
    judge_pruned(scene, tag, Acks(scene.folder / "none.acks"))


SERVED = {"drain": "server"}
PARTS = {
    "recorder": Part(
        judge_recorded, {"how": "durably", "count": 25, "settings": SERVED}, {"fdatasync": 25, "fsync": 4, "rename": 1}
    ),
    "journal": Part(
        judge_recorded, {"how": "largely", "count": 40, "settings": SERVED}, {"fdatasync": 40, "fallocate": 3}
    ),
    "drain": Part(
        judge_drained, {"work": "drain"}, {"pwrite64": 200, "fdatasync": 10, "unlinkat": 5, "rmdir": 1}, leave_journal
    ),
    "sqlite": Part(judge_applied, {"work": "apply", "count": 6 * BATCH}, {"pwrite64": 200, "fdatasync": 6}),
    "files": Part(
        judge_applied, {"work": "apply", "count": 3 * BATCH},
        {"pwrite64": 100, "rename": 3 * BATCH, "fsync": 3 * BATCH}, scheme="files",
    ),
    "prune": Part(judge_pruned, {"work": "prune", "before": BEFORE}, {"pwrite64": 50, "fdatasync": 1}, fill),
    "prune-files": Part(
        judge_pruned, {"work": "prune", "before": BEFORE}, {"pwrite64": 50, "unlink": OLD}, fill, scheme="files"
    ),
    "migrate": Part(judge_migrated, {"work": "migrate"}, {"pwrite64": 25, "fdatasync": 3}, fill_older),
    "export": Part(judge_exported, {"work": "export"}, {"write": 1, "fsync": 1, "rename": 1}, fill_and_export),
}  # fmt: skip
POINTS = 500
"""What all paths have at least, together: the long form goes through each of them."""


def test_the_paths_have_so_many_points():
    assert sum(sum(part.least.values()) for part in PARTS.values()) >= POINTS


@pytest.fixture(scope="module")
def zygote():
    started = Zygote()
    yield started
    started.close()


class Stage:
    """A folder for each point, on a disk whose power may be cut."""

    def __init__(self, folder: Path, disk: PowerDisk | None) -> None:
        self.folder, self.disk = folder, disk
        self.root = (disk.path if disk else folder) / "stage"

    def scene(self, part: Part, tag: str) -> Scene:
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        settings = {"journal_segment": 64 * 1024, "drain_batch": 20, "journal_min_free": 0}
        where = f"sqlite:///{self.root}/store.db" if part.scheme == "sqlite" else f"files:///{self.root}/store"
        scene = Scene(self.folder, where, settings, home=f"{self.root}/home")
        before = self.folder / "before"
        if before.exists():
            shutil.copytree(before, self.root, dirs_exist_ok=True)
        else:
            part.before(scene, tag)
            shutil.copytree(self.root, before)
        if self.disk:
            subprocess.run(["sync", "-f", str(self.disk.path)], check=True)
        return scene

    def end(self) -> None:
        if self.disk:
            self.disk.cut()
            self.disk.restore_power()


@pytest.fixture(params=["killed", "power cut"])
def stage(request, tmp_path):
    if request.param == "killed":
        yield Stage(tmp_path, None)
        return
    try:
        disk = PowerDisk(tmp_path)
    except NoDiskError as missing:
        pytest.skip(f"no disk whose power can be cut: {missing}")
    yield Stage(tmp_path, disk)
    disk.close()


def task_of(scene: Scene, tag: str, acks: Acks, part: Part) -> dict[str, Any]:
    more = {"output": os.devnull, "target": str(Path(scene.home).parent / TARGET)} | part.task
    return scene.task(tag, acks, **(more | {"settings": scene.settings | part.task.get("settings", {})}))


@pytest.mark.timeout(7200 if LONG else 120)
@pytest.mark.parametrize("name", PARTS)
def test_killed_before_each_writing_call(stage, zygote, name, record_property):
    need_strace()
    part, tag = PARTS[name], "point"
    scene = stage.scene(part, tag)
    calls = zygote.list_calls(task_of(scene, tag, scene.acks(tag), part), stage.folder)
    counts = Counter(call for call, _ in calls)
    assert counts >= Counter(part.least), f"{dict(counts)}: has the path another way?"
    points = calls if LONG else random.Random(name).sample(calls, SAMPLE)
    for call, number in points:
        scene = stage.scene(part, tag)
        acks = scene.acks(tag)
        fault = injecting(f"signal=SIGKILL:when={number}", call)
        with zygote.traced(task_of(scene, tag, acks, part), *fault) as victim:
            victim.wait()
        assert not acks.ended(), f"{call} number {number} never came"
        stage.end()
        part.judge(scene, tag, acks)
    record_property("points", f"{len(points)} of {len(calls)} points, 0 durable lost, 0 integrity failures")
