"""Whose the files of a home are, and who may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from execlog.core.errors import StoreError
from execlog.core.settings import load
from execlog.ledger import Ledger
from execlog.recorder.home import Home

SERVICE = 54_321
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives files away")


def everything(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


def test_a_home_is_open_to_its_user_alone_whoever_makes_it(tmp_path):
    with Ledger.open(home=tmp_path / "deep" / "home") as ledger:
        ledger.record("a")
        folders = {tmp_path / "deep" / "home", ledger.root.parent, ledger.root}
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    assert (tmp_path / "deep").stat().st_mode & 0o055


@root_only
def test_what_root_records_in_the_home_of_a_service_is_the_services(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, SERVICE, SERVICE)
    with Ledger.open(settings=load(home=str(home), drain="server", journal_segment=4_096)) as waiting:
        for number in range(200):  # over several segments
            waiting.record("waits", metadata={"number": number})
        assert {each.stat().st_uid for each in everything(home)} == {SERVICE}
    assert any(waiting.root.glob("*/*.seg"))
    with Ledger.open(home=home, drains_home=True) as ledger:
        ledger.record("b")
        ledger.flush()
        assert (home / "execlog.db-wal").exists()
        assert {each.stat().st_uid for each in everything(home)} == {SERVICE}


@root_only
def test_what_root_makes_in_its_own_home_stays_its_own(tmp_path):
    with Ledger.open(home=tmp_path / "home") as ledger:
        ledger.record("a")
    assert {each.stat().st_uid for each in everything(tmp_path)} == {0}


def test_what_is_wrong_with_a_journal_is_said_once(tmp_path, caplog):
    with Ledger.open(home=tmp_path) as ledger:
        home = Home(ledger.root, ledger.clock.now)
        (ledger.root / "theirs" / "alive").mkdir(parents=True)  # as little to be opened as another user's
        for _ in range(3):
            home.visit(ledger.store, 10, own=None, everyone=True)
        home.release()
    assert [message for message in caplog.messages if "cannot be read" in message] == [
        f"execlog: journal {ledger.root}/theirs cannot be read: [Errno 21] Is a directory: '{ledger.root}/theirs/alive'"
    ]


def test_a_home_that_cannot_be_made_is_an_error_of_the_store():
    with Ledger.open(home="/proc/none/home") as ledger, pytest.raises(StoreError, match="home cannot be made: /proc"):
        _ = ledger.store


def test_a_database_that_cannot_be_opened_says_what_is_in_the_way(tmp_path):
    (tmp_path / "execlog.db").mkdir()
    with Ledger.open(home=tmp_path) as ledger, pytest.raises(StoreError, match=r"\(it is a folder\)"):
        _ = ledger.store
