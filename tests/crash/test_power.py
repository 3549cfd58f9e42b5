"""Power cuts: what record_durable() returned for is there afterwards, and the store is whole."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crash.disk import NoDiskError, PowerDisk
from crash.harness import LONG, Acks, Scene, Zygote, check, wait_until

pytestmark = pytest.mark.crash
CUTS = 60 if LONG else 4


@pytest.fixture
def disk(tmp_path):
    try:
        made = PowerDisk(tmp_path)
        made.cut()
        made.restore_power()
    except NoDiskError as missing:
        pytest.skip(f"no disk whose power can be cut: {missing}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def zygote():
    started = Zygote()
    yield started
    started.close()


def scene_on(disk: PowerDisk, folder) -> Scene:
    settings = {"journal_segment": 64 * 1024, "drain_batch": 20, "journal_min_free": 0}
    return Scene(folder, f"sqlite:///{disk.path}/data/store.db", settings, home=f"{disk.path}/data")


def survived(scene: Scene, tag: str, acks: Acks) -> int:
    with scene.open() as ledger:
        count = check(ledger, tag, acks)
        assert ledger.store.check()["integrity"] == "ok"
        assert sum(ledger.losses().shed) == 0
    return count


def test_a_run_that_is_killed_leaves_no_disk_mounted(disk, tmp_path):
    folder = tmp_path / "killed"
    folder.mkdir()
    code = (
        "import sys, pathlib; from crash.disk import *; keep_mounts_to_oneself();"
        "made = PowerDisk(pathlib.Path(sys.argv[1]));"
        "(made.path / 'file').touch(); print('mounted', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "mounted\n"
        run.kill()
    wait_until(lambda: str(folder) not in loops(), "the loop device to be free")
    shutil.rmtree(folder)
    assert str(disk.path) not in Path("/proc/1/mountinfo").read_text()


def loops() -> str:
    return subprocess.run(["losetup", "-a"], check=True, capture_output=True, text=True).stdout


@pytest.mark.timeout(7200 if LONG else 120)
def test_what_is_durable_survives_power_cuts_at_any_moment(disk, tmp_path, zygote):
    chance, scene = random.Random(30), scene_on(disk, tmp_path)
    for number in range(CUTS):
        tag = f"cut{number}"
        acks = scene.acks(tag)
        victim = zygote.start(scene.task(tag, acks, how="durably", threads=2))
        wait_until(acks.total, "the first acknowledgement")
        time.sleep(chance.uniform(0, 0.3))
        disk.cut()
        victim.kill()
        disk.restore_power()
        assert survived(scene, tag, acks) > 0


@pytest.mark.timeout(120)
def test_the_very_first_durable_record_survives(disk, tmp_path, zygote):
    scene = scene_on(disk, tmp_path)
    for number in range(CUTS):
        shutil.rmtree(scene.home, ignore_errors=True)
        acks = scene.acks(f"first{number}")
        victim = zygote.start(scene.task(f"first{number}", acks, how="durably", count=1, ends="sleep"))
        wait_until(acks.total, "the acknowledgement")
        disk.cut()
        victim.kill()
        disk.restore_power()
        assert survived(scene, f"first{number}", acks) == 1
