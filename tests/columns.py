"""The SQL names' values: SQLite, which has neither instants nor JSON, gives texts where PostgreSQL gives the thing."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

_JSON = ("connection_params", "request_metadata", "response_metadata")


def typed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of SQLite's as PostgreSQL would give it."""
    return {name: value if value is None else _typed(name, value) for name, value in row.items()}


def _typed(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        return datetime.fromisoformat(value)
    if name == "execution_date":
        return date.fromisoformat(value)
    return json.loads(value) if name in _JSON else value
