"""Named connections: what is wrong with one is said by its name, with what would be right."""

from __future__ import annotations

import pytest

from execlog.core.errors import SettingsError
from execlog.kinds.queries.connections import connection_of, load_connections


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"path": "x.db"}, r"connections\.q: a type is missing, one of dbapi, duckdb, .*sqlite"),
        ({"type": "oracle"}, r"connections\.q: type 'oracle' is none of dbapi, duckdb, .*sqlite"),
    ],
)
def test_a_connection_without_a_type_says_which_there_are(tmp_path, table, said):
    lines = "".join(f'{name} = "{value}"\n' for name, value in table.items())
    (tmp_path / "execlog.toml").write_text(f"[connections.q]\n{lines}")
    with pytest.raises(SettingsError, match=said):
        load_connections(tmp_path)


@pytest.mark.parametrize(
    "table",
    [
        {},
        "sqlite",
        {"type": "oracle"},
        {"type": "sqlite"},
        {"type": "sqlite", "path": "x", "colour": "red"},
        {"type": "sqlite", "path": "x", "timeout": -1},
        {"type": "sqlite", "path": "x", "max_concurrent": 0},
        {"type": "sqlite", "path_env": "EXECLOG_NO_SUCH_NAME"},
        {"type": "sqlite", "path_file": "/nowhere/at/all"},
    ],
)
def test_settings_that_cannot_be_used_name_the_connection(table):
    with pytest.raises(SettingsError, match=r"connections\.mine"):
        connection_of("mine", table)


def test_connections_come_from_the_configuration_file(tmp_path, monkeypatch):
    secret = tmp_path / "path.txt"
    secret.write_text("b.db\n")
    (tmp_path / "execlog.toml").write_text(
        f'[connections.a]\ntype = "sqlite"\npath_env = "DATABASE_A"\ntimeout = 5\n'
        f'[connections.b]\ntype = "sqlite"\ndatabase_type = "ledger"\npath_file = "{secret}"\nread_only = false\n'
    )
    found = load_connections(tmp_path, {"DATABASE_A": "a.db"})
    assert [(one.name, one.database_type, one.limits.timeout, one.limits.read_only) for one in found.values()] == [
        ("a", "sqlite", 5.0, True),
        ("b", "ledger", 30.0, False),
    ]
    assert [one.connector.facts["path"] for one in found.values()] == ["a.db", "b.db"]
    assert load_connections(tmp_path / "elsewhere") == {}
