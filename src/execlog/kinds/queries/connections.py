"""Named connections, read from the `[connections]` table of `execlog.toml`: never from a request.

[connections.prices]
type = "duckdb"
path = "/srv/prices.duckdb"

[connections.lake]
type = "starburst"
host = "lake.example"
user = "execlog"
password_env = "LAKE_PASSWORD"
timeout = 60
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

from msgspec import Meta, Struct

from execlog.core.codec import convert
from execlog.core.errors import InvalidError, SettingsError
from execlog.core.ids import check_id
from execlog.core.settings import section
from execlog.kinds.queries.connectors.base import Connector

Open = Callable[[dict[str, Any], bool], Connector]
_FROM_ENVIRONMENT, _FROM_FILE = "_env", "_file"


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a connection allows. Times are seconds, counted from the moment the request came in.

    read_only        only statements that read
    timeout          for a query that names none
    max_timeout      a query that names a longer one gets this
    max_rows         most rows of a result that are read; the count of a larger one ends here
    max_bytes        most bytes of a page, as JSON; a page that would be larger ends earlier
    max_page_size    most rows of a page
    max_concurrent   queries at once
    max_waiting      queries that may wait for their turn; more are refused
    cache_ttl        how long a result may be given again; 0: never
    cache_bytes      most bytes of results that are kept
    """

    read_only: bool = True
    timeout: Annotated[float, Meta(gt=0)] = 30.0
    max_timeout: Annotated[float, Meta(gt=0)] = 300.0
    max_rows: Annotated[int, Meta(ge=1)] = 100_000
    max_bytes: Annotated[int, Meta(ge=1_000)] = 10 * 2**20
    max_page_size: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    max_concurrent: Annotated[int, Meta(ge=1, le=1_000)] = 4
    max_waiting: Annotated[int, Meta(ge=0, le=100_000)] = 32
    cache_ttl: Annotated[float, Meta(ge=0)] = 0.0
    cache_bytes: Annotated[int, Meta(ge=0)] = 64 * 2**20


class Connection(Struct, frozen=True, kw_only=True):
    """A named connection.

    database_type   what the history calls it: its `type`, unless the settings name another
    """

    name: str
    database_type: str
    connector: Connector
    limits: Limits = Limits()


def load_connections(home: Path, environment: Mapping[str, str] = os.environ) -> dict[str, Connection]:
    """The connections of the configuration file, by name. Raises SettingsError, naming the connection."""
    return {name: connection_of(name, table, environment) for name, table in section(home, "connections").items()}


def connection_of(name: str, table: Any, environment: Mapping[str, str] = os.environ) -> Connection:
    """The connection a table of settings describes; nothing is connected yet. Raises SettingsError."""
    if not isinstance(table, dict):
        raise SettingsError(f"connections.{name}: a table is needed, with a type")
    settings = dict(cast("dict[str, Any]", table))
    kind = settings.pop("type", None)
    open_connector = CONNECTORS.get(str(kind))
    if open_connector is None:
        said = "a type is missing, one" if kind is None else f"type {kind!r:.60} is none"
        raise SettingsError(f"connections.{name}: {said} of {', '.join(CONNECTORS)}")
    try:
        check_id(name, field="name")
        limits = convert({key: settings.pop(key) for key in Limits.__struct_fields__ if key in settings}, Limits)
        database_type = convert(settings.pop("database_type", kind), str)
        connector = open_connector(_with_secrets(settings, environment), limits.read_only)
    except InvalidError as error:
        raise SettingsError(f"connections.{name}: {error}") from error
    return Connection(name=name, database_type=database_type, connector=connector, limits=limits)


def _with_secrets(settings: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings with `password_env` and `password_file` (or any other name) read from where they point."""
    said: dict[str, Any] = {}
    for name, value in settings.items():
        if name.endswith(_FROM_ENVIRONMENT):
            if str(value) not in environment:
                raise InvalidError(f"{name}: the environment has no {value!r:.60}")
            said[name.removesuffix(_FROM_ENVIRONMENT)] = environment[str(value)]
        elif name.endswith(_FROM_FILE):
            try:
                said[name.removesuffix(_FROM_FILE)] = Path(str(value)).expanduser().read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidError(f"{name}: {error}") from error
        elif isinstance(value, dict):
            said[name] = _with_secrets(cast("dict[str, Any]", value), environment)
        else:
            said[name] = value
    return said


def _sqlite(settings: dict[str, Any], read_only: bool) -> Connector:  # noqa: FBT001 - as all in CONNECTORS
    from execlog.kinds.queries.connectors.sqlite import SqliteConnector, SqliteOptions

    return SqliteConnector(convert(settings, SqliteOptions), read_only=read_only)


def _duckdb(settings: dict[str, Any], read_only: bool) -> Connector:  # noqa: FBT001 - as all in CONNECTORS
    from execlog.kinds.queries.connectors.duckdb import DuckDBConnector, DuckDBOptions

    return DuckDBConnector(convert(settings, DuckDBOptions), read_only=read_only)


def _postgres(settings: dict[str, Any], read_only: bool) -> Connector:  # noqa: FBT001 - as all in CONNECTORS
    from execlog.kinds.queries.connectors.postgres import PostgresConnector, PostgresOptions

    return PostgresConnector(convert(settings, PostgresOptions), read_only=read_only)


def _kdb(settings: dict[str, Any], read_only: bool) -> Connector:  # noqa: FBT001 - as all in CONNECTORS
    from execlog.kinds.queries.connectors.kdb import KdbConnector, KdbOptions

    return KdbConnector(convert(settings, KdbOptions), read_only=read_only)


def _trino(settings: dict[str, Any], read_only: bool) -> Connector:  # noqa: FBT001 - as all in CONNECTORS
    from execlog.kinds.queries.connectors.trino import TrinoConnector, TrinoOptions

    return TrinoConnector(convert(settings, TrinoOptions), read_only=read_only)


def _dbapi(settings: dict[str, Any], read_only: bool) -> Connector:  # noqa: FBT001 - as all in CONNECTORS
    from execlog.kinds.queries.connectors.dbapi import DBAPIConnector, DBAPIOptions

    return DBAPIConnector(convert(settings, DBAPIOptions), read_only=read_only)


CONNECTORS: dict[str, Open] = {
    "dbapi": _dbapi, "duckdb": _duckdb, "kdb": _kdb, "postgres": _postgres, "sqlite": _sqlite,
    "starburst": _trino, "trino": _trino,
}  # fmt: skip
"""By `type`: what makes a connector of its settings. A driver is imported when the first query needs it."""
