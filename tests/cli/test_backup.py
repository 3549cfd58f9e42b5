"""`execlog backup` and `execlog prune --vacuum`: on a database that is in use."""

from __future__ import annotations

import json
import os
import threading

from execlog.core.filter import Filter
from execlog.ledger import Ledger


def test_a_history_is_backed_up_while_it_is_written_to_and_restored(execlog, home, tmp_path):
    copy, again = tmp_path / "copies" / "history.db", tmp_path / "again"
    copy.parent.mkdir()
    copy.write_text("the backup of the day before")
    execlog(home, "jobs", "add", "nightly", "--cron", "0 2 * * *", "--", "true")
    stopping = threading.Event()

    def write() -> None:
        while not stopping.is_set():
            ledger.record("meanwhile", metadata={"more": "x" * 1_000})

    with Ledger.open(home=home) as ledger:
        before = ledger.store.count(Filter())
        writing = threading.Thread(target=write)
        writing.start()
        try:
            said = json.loads(execlog(home, "backup", str(copy), "--json").stdout)
        finally:
            stopping.set()
            writing.join()
    assert said == {"file": str(copy), "bytes": copy.stat().st_size}
    assert copy.stat().st_mode & 0o777 == 0o600
    assert list(copy.parent.iterdir()) == [copy]
    again.mkdir()
    copy.rename(again / "execlog.db")
    with Ledger.open(home=again) as ledger:
        assert ledger.store.count(Filter()) >= before
        assert ledger.store.check()["journal_mode"] == "wal"
        ledger.record("afterwards")
    assert "afterwards" in execlog(again, "list", "--subject", "afterwards").stdout
    assert "nightly" in execlog(again, "jobs", "list").stdout


def test_a_backup_that_cannot_be_written_leaves_the_one_there_was(execlog, home, tmp_path):
    assert "folder is not there" in execlog(home, "backup", str(tmp_path / "none" / "x.db"), code=2).stderr
    assert "is the history itself" in execlog(home, "backup", str(home / "execlog.db"), code=2).stderr
    copy = tmp_path / "copy.db"
    copy.write_text("the backup of the day before")
    with (home / "execlog.db").open("r+b") as file:
        file.seek(8_192 * 3)
        file.write(b"\xff" * 8_192)
    execlog(home, "backup", str(copy), code=4)
    assert copy.read_text() == "the backup of the day before"
    assert [each.name for each in tmp_path.glob("*copy.db*")] == ["copy.db"]


def test_other_stores_say_what_backs_them_up(execlog, home, tmp_path):
    store = ("--store", f"files:///{tmp_path}/files")
    execlog(home, *store, "run", "--", "true")
    assert "`execlog copy`" in execlog(home, *store, "backup", str(tmp_path / "x.db"), code=1).stderr
    assert "by itself" in execlog(home, *store, "prune", "--older-than", "1d", "--vacuum", "--yes", code=1).stderr


def test_pruning_gives_the_disk_back_where_it_is_asked_to(execlog, tmp_path):
    home = tmp_path / "home"
    with Ledger.open(home=home) as ledger:
        for _ in range(1_000):
            ledger.record("old", started_at=1_000_000, ended_at=2_000_000, output=os.urandom(1_500).hex())
        ledger.record("new")
        ledger.flush()
        answer = json.loads(execlog(home, "prune", "--older-than", "1d", "--vacuum", "--yes", "--json").stdout)
        assert (answer["deleted"], answer["found"]) == (1_000, 1_000)
        ledger.record("newer")
        assert ledger.flush()
        assert ledger.store.count(Filter()) == 2
    assert answer["freed"] > 1_000_000
    assert (home / "execlog.db").stat().st_size < 1_000_000
    assert execlog(home, "prune", "--older-than", "1d", "--vacuum", "--yes").stdout.startswith("0 removed, ")
