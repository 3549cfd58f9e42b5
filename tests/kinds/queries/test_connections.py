"""Named connections: what is wrong with one is said by its name, with what would be right."""

from __future__ import annotations

import pytest

from execlog.core.errors import SettingsError
from execlog.kinds.queries.connections import load_connections


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
