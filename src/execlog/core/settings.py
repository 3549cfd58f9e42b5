"""One Struct of settings, read from a TOML file and the environment (`EXECLOG_HOME`, `EXECLOG_STORE`, …)."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from msgspec import Meta, Struct, field, structs

from execlog.core.codec import convert
from execlog.core.errors import InvalidError, SettingsError

PREFIX = "EXECLOG_"
_TOKEN = re.compile(r"(.+?)=(\w+(?::.*)?)")
"""A token, which may end in "=" as Base64 does, and a role with an actor or without."""
_Count = Annotated[int, Meta(ge=1)]
_Size = Annotated[int, Meta(ge=0)]
_Seconds = Annotated[float, Meta(ge=0, le=1e9)]
_Wait = Annotated[float, Meta(gt=0, le=1e9)]


class Settings(Struct, frozen=True, kw_only=True):
    """What can be set. Sizes are bytes, times seconds; the environment beats the file, the file beats the default.

    home                    folder of journals, the embedded store and the configuration file `execlog.toml`
    store                   URL of the store; empty: `sqlite:///{home}/execlog.db`
    migrate                 opening a store brings its schema up to date; false: only `execlog migrate` does, and an
                            older schema is refused
    journal_segment         size of one journal segment
    journal_cap             most a process's journal may grow to while the store is down; then it sheds and counts
    journal_min_free        free disk space below which the journal sheds as if the cap were reached; a tenth of a disk
                            is enough
    drain                   who empties the journal: "thread", "process" (its own), "server" (only `execlog serve`)
    drain_batch             most executions in one transaction
    drain_interval          longest a record waits for its batch
    close_timeout           longest the interpreter's exit waits for the drain; what is left stays in the journal
    capture_context         record host, python, revision and versions with each execution
    redact                  further names whose values are secrets
    retention_days          `execlog prune` and `execlog serve` remove older executions; 0 keeps everything
    host                    where `execlog serve` listens
    port                    its port; 0 takes a free one
    allowed_hosts           Host headers answered besides loopback names; "*" for any
    body_limit              largest request body, counted after decompression
    tokens                  bearer tokens: token → "role" or "role:actor", role one of viewer,
                            operator, admin; required off loopback
    sse_clients             most live-update clients at once
    shutdown_timeout        longest `execlog serve` takes to stop
    redis_ttl               time to live of keys in Redis
    redis_history_limit     most executions per job index in Redis
    redis_prefix            prefix of the keys of kinds other than jobs in Redis
    redis_job_record        what precedes an id in the key of a job's execution in Redis
    redis_job_index         what precedes a job's id in the key of its index in Redis
    job_lease               how long a scheduler's claim on a due job holds without renewal
    """

    home: Path = field(default_factory=lambda: default_home())  # noqa: PLW0108 - it is defined below
    store: str = ""
    migrate: bool = True
    journal_segment: Annotated[int, Meta(ge=4_096, le=2**30)] = 16 * 2**20
    journal_cap: _Size = 2**30
    journal_min_free: _Size = 256 * 2**20
    drain: Literal["thread", "process", "server"] = "thread"
    drain_batch: _Count = 1_000
    drain_interval: _Wait = 0.1
    close_timeout: _Seconds = 5.0
    capture_context: bool = True
    redact: tuple[str, ...] = ()
    retention_days: _Size = 0
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8321
    allowed_hosts: tuple[str, ...] = ()
    body_limit: _Count = 2**20
    tokens: dict[str, str] = {}
    sse_clients: _Size = 2_000
    shutdown_timeout: _Seconds = 3.0
    redis_ttl: _Wait = 30 * 86_400.0
    redis_history_limit: _Count = 100
    redis_prefix: str = "execlog:"
    redis_job_record: str = "scheduler:execution_history:"
    redis_job_index: str = "scheduler:job_history_index:"
    job_lease: _Wait = 10.0

    @property
    def store_url(self) -> str:
        """The store's URL, with the default filled in."""
        return self.store or f"sqlite:///{str(self.home / 'execlog.db').replace('%', '%25')}"


def default_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's data folder for execlog: XDG_DATA_HOME, or what the platform has in its place.

    Raises RuntimeError where the user has no home.
    """
    if environment.get("XDG_DATA_HOME"):
        return Path(environment["XDG_DATA_HOME"]) / "execlog"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "execlog"
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or Path.home()) / "execlog"
    return Path.home() / ".local" / "share" / "execlog"


def load(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """The settings in force: `given` beats the environment, which beats `{home}/execlog.toml`. Raises SettingsError."""
    environment = os.environ if environment is None else environment
    _refuse_empty(given)
    said = _from_environment(environment) | {name: value for name, value in given.items() if value is not None}
    home = _home(said, environment)
    file = home / "execlog.toml"
    written = _written(file)
    known = [name for name in Settings.__struct_fields__ if name != "home"]
    if "home" in written:
        message = f"{file}: home cannot be set in the home itself; --home or {PREFIX}HOME names another"
        raise SettingsError(message)
    unknown = sorted(set(written) - set(known) - SECTIONS)
    if unknown:
        tables = ", ".join(f"[{name}]" for name in sorted(SECTIONS))
        message = f"{file}: unknown settings {', '.join(unknown)}; known are {', '.join(known)} and the tables {tables}"
        raise SettingsError(message)
    merged = {name: value for name, value in written.items() if name in known} | said | {"home": home}
    try:
        settings = convert(merged, Settings)
    except InvalidError as error:
        raise SettingsError(_complaint(merged, given, said, file)) from error
    _refuse_bytes(settings)
    return settings


def _complaint(merged: Mapping[str, Any], given: Mapping[str, Any], said: Mapping[str, Any], file: Path) -> str:
    """Which setting cannot be used, where it stands, and what it may be. Secrets are not shown."""
    for one in structs.fields(Settings):
        if one.name not in merged:
            continue
        try:
            convert(merged[one.name], one.type)
        except InvalidError as error:
            shown = "what is set" if one.name in {"tokens", "store"} else repr(merged[one.name])
            choice = ", ".join(map(str, get_args(one.type))) if isinstance(one.default, str) else ""
            why = f"one of {choice}" if choice else str(error)
            place = f"{PREFIX}{one.name.upper()}" if one.name in said else str(file)
            place = "settings" if given.get(one.name) is not None else place
            return f"{place}: {one.name} cannot be {shown}: {why}"
    return f"settings: not as they are in {file}"


def _refuse_empty(given: Mapping[str, Any]) -> None:
    """Refuse a home or a store that is named and empty, as by a shell variable that is not set.

    The default is another history, which is not what `rm --home "$TRIAL"` is to empty.
    """
    for name in ("home", "store"):
        if given.get(name) == "":
            message = f"{name}: what is given is empty; leave it out for the default"
            raise SettingsError(message)


def _refuse_bytes(settings: Settings) -> None:
    """Refuse names of files that are no text: SQLite, for one, cannot open them."""
    for name, text in (("home", str(settings.home)), ("store", settings.store)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"{name}: {os.fsencode(text)!r} is not UTF-8, which it must be"
            raise SettingsError(message) from error


def _home(said: Mapping[str, Any], environment: Mapping[str, str]) -> Path:
    try:
        home = Path(said.get("home") or default_home(environment)).expanduser().absolute()
    except (RuntimeError, OSError) as error:
        message = f"home: {error} ({PREFIX}HOME may name a folder for execlog's files)"
        raise SettingsError(message) from error
    return home


def _written(file: Path) -> dict[str, Any]:
    """What stands in the configuration file, {} where there is none. Raises SettingsError."""
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        message = f"home: {file.parent} is not a folder; --home or {PREFIX}HOME names another"
        raise SettingsError(message) from error
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise SettingsError(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{file}: {error}"
        raise SettingsError(message) from error


SECTIONS = frozenset({"alerts", "connections", "queries", "sources", "workflows"})
"""Tables of the file that belong to others: read with `section`."""


def section(home: Path, name: str, *, keys: Collection[str] = ()) -> dict[str, Any]:
    """A table of the configuration file that another part of the house reads, {} where there is none.

    With `keys`, it may have no others. Raises SettingsError.
    """
    file = home / "execlog.toml"
    table = _written(file).get(name, {})
    if not isinstance(table, dict):
        message = f"{file}: {name} is a table: [{name}], or [{name}.NAME]"
        raise SettingsError(message)
    unknown = sorted(set(cast("dict[str, Any]", table)) - set(keys)) if keys else ()
    if unknown:
        message = f"{file}: [{name}] has no {', '.join(unknown)}; there are {', '.join(keys)}"
        raise SettingsError(message)
    return cast("dict[str, Any]", table)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in Settings.__struct_fields__:
        text = environment.get(PREFIX + name.upper())
        if text is None or text == "":
            continue
        if name in {"redact", "allowed_hosts"}:
            said[name] = [part.strip() for part in text.split(",") if part.strip()]
        elif name == "tokens":
            said[name] = dict(_token(pair.strip()) for pair in text.split(",") if pair.strip())
        else:
            said[name] = text
    return said


def _token(pair: str) -> tuple[str, str]:
    """A token and what is said of it. Raises SettingsError, which does not show the token."""
    match = _TOKEN.fullmatch(pair)
    if match is None:
        message = f"{PREFIX}TOKENS: one of them says no role; write token=viewer,token=admin"
        raise SettingsError(message)
    return match[1], match[2]
