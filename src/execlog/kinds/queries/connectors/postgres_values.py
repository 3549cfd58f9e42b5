"""How PostgreSQL's values are read where psycopg's own way fails, loses something, or says it in Python's words."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

_INTERVAL = re.compile(
    r"(?:([+-]?\d+) years?)? ?(?:([+-]?\d+) mons?)? ?(?:([+-]?\d+) days?)? ?"
    r"(?:([+-]?)(\d+):(\d\d):(\d\d(?:\.\d+)?))?"
)
_LENIENT = ("date", "timestamp", "timestamptz", "time", "timetz")
_TEXTS = ("text", "varchar", "bpchar", "name", '"char"', 0)
"""Types that are read as texts; 0 stands for all that are not known."""

_RANGES = tuple(
    f"{of}{kind}" for of in ("int4", "int8", "num", "date", "ts", "tstz") for kind in ("range", "multirange")
)
_EXACT_DIGITS, _MOST_DIGITS = 15, 4_000
_TYPES = """
select t.typname, t.oid, t.typarray, t.typdelim, t.typbasetype from pg_catalog.pg_type t
left join pg_catalog.pg_class c on c.oid = t.typrelid
where t.typcategory <> 'A' and (c.relkind is null or c.relkind = 'c')
"""
"""Types with their names; those of tables, one a table, are left out."""


def read_well(connection: Any) -> None:
    """Teach the connection to read values; it is asked for the types that its database has of its own."""
    from psycopg.types.json import set_json_loads
    from psycopg.types.string import TextLoader

    for name in _RANGES:
        connection.adapters.register_loader(name, TextLoader)
    set_json_loads(_json, connection)
    _read_times(connection)
    _read_intervals(connection)
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        _read_any_text(connection)
    _learn_types(connection)


def _learn_types(connection: Any) -> None:
    """Names of types, and arrays of them."""
    from psycopg.pq import Format
    from psycopg.types import TypeInfo

    known = connection.adapters
    for name, oid, array, delimiter, base in connection.execute(_TYPES):
        if known.types.get(oid) is None:
            TypeInfo(name, oid, array, delimiter=delimiter).register(connection)
            loader = known.get_loader(base, Format.TEXT)
            if loader is not None:
                known.register_loader(oid, loader)


def _read_any_text(connection: Any) -> None:
    """Texts of a database that does not know their encoding are read as UTF-8, as far as they are."""
    from psycopg.adapt import Loader

    class Lenient(Loader):
        def load(self, data: Any) -> str:
            return bytes(data).decode("utf-8", "replace")

    for name in (*_TEXTS, *_RANGES):
        connection.adapters.register_loader(name, Lenient)


def _read_times(connection: Any) -> None:
    """Times that Python has no value for (infinity, 24:00, years beyond 9999, BC) are read as their text."""
    from psycopg.adapt import Loader
    from psycopg.pq import Format

    for name in _LENIENT:
        oid = connection.adapters.types[name].oid
        strict = connection.adapters.get_loader(oid, Format.TEXT)

        class Lenient(Loader):
            inner = strict

            def __init__(self, oid: int, context: Any = None) -> None:
                super().__init__(oid, context)
                self._strict = self.inner(oid, context)

            def load(self, data: Any) -> Any:
                try:
                    return self._strict.load(data)
                except Exception:  # noqa: BLE001 - whatever it cannot read has a text
                    return bytes(data).decode("utf-8", "replace")

        connection.adapters.register_loader(oid, Lenient)


def _read_intervals(connection: Any) -> None:
    """Intervals are read as ISO 8601: a month is not 30 days, and over a change of the clocks a day is not 24 hours."""
    from psycopg.adapt import Loader

    class Iso(Loader):
        def load(self, data: Any) -> str:
            return _in_iso(bytes(data).decode())

    connection.adapters.register_loader("interval", Iso)


def _in_iso(interval: str) -> str:
    """An interval as PostgreSQL prints it, as an ISO 8601 duration with a sign to each part, as its own are."""
    found = _INTERVAL.fullmatch(interval)
    if found is None:
        return interval
    years, months, days, sign, hours, minutes, seconds = (part or "0" for part in found.groups())
    minus = "-" if sign == "-" else ""
    date = ((years, "Y"), (months, "M"), (days, "D"))
    clock = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    before = "".join(f"{Decimal(number)}{unit}" for number, unit in date if Decimal(number))
    after = "".join(f"{minus}{Decimal(number)}{unit}" for number, unit in clock if Decimal(number))
    return f"P{before}T{after}" if after else f"P{before or 'T0S'}"


def _json(data: bytes | str) -> Any:
    """The value in a JSON text; the text of one that is nested too deeply for Python."""
    text = data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return text


def _fraction(digits: str) -> float | Decimal:
    """A number as a float where that says all of it."""
    if len(digits) <= _EXACT_DIGITS and "e" not in digits.lower():
        return float(digits)
    number, exact = float(digits), Decimal(digits)
    return number if Decimal(repr(number)) == exact else exact


def _whole(digits: str) -> int | Decimal:
    """An integer; Python does not read one of very many digits."""
    return int(digits) if len(digits) < _MOST_DIGITS else Decimal(digits)


_DECODER = json.JSONDecoder(parse_float=_fraction, parse_int=_whole)
