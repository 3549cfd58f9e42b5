"""`migrate`: from nothing, from every earlier version, and again."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest

from execlog.core.errors import StoreError
from execlog.store.migrating import migrate
from execlog.store.sql import migrations

LATEST = len(migrations("sqlite"))


def test_a_new_database_gets_the_whole_schema(tmp_path):
    path = tmp_path / "new" / "db"
    done = migrate(f"sqlite:///{path}")
    assert (done.before, done.after, done.changed) == (0, LATEST, True)
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.execute("select count(*) from scheduler_execution_log").fetchall() == [(0,)]


@pytest.mark.parametrize("version", range(1, LATEST))
def test_every_earlier_version_is_brought_up(tmp_path, version):
    path = tmp_path / "db"
    migrate(f"sqlite:///{path}")
    application = apsw.Connection(str(path)).pragma("application_id")
    older = tmp_path / "older"
    with closing(apsw.Connection(str(older))) as connection:
        for number, sql in migrations("sqlite")[:version]:
            connection.execute(sql).fetchall()
            connection.pragma("user_version", number)
        connection.pragma("application_id", application)
    done = migrate(f"sqlite:///{older}")
    assert (done.before, done.after) == (version, LATEST)
    with closing(apsw.Connection(str(path))) as new, closing(apsw.Connection(str(older))) as old:
        schemas = [sorted(one.execute("select type, name, sql from sqlite_master")) for one in (new, old)]
    assert schemas[0] == schemas[1]


def test_again_there_is_nothing_to_do(tmp_path):
    migrate(f"sqlite:///{tmp_path / 'db'}")
    again = migrate(f"sqlite:///{tmp_path / 'db'}")
    assert (again.before, again.after, again.changed) == (LATEST, LATEST, False)


def test_a_store_without_a_schema_has_no_version():
    assert migrate("memory://").after is None


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError):
        migrate(f"sqlite:///{tmp_path / 'db'}")
