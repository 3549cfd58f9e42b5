"""A job out of options, and out of a file."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any, cast

from execlog.cli.parser import Options
from execlog.core.clock import moment
from execlog.core.codec import convert
from execlog.core.errors import InvalidError
from execlog.kinds.jobs import Call, Command, Cron, Fetch, Interval, Job, Misfire, Once, Retries, Session

_ACTIONS = "what to run: --stocks of a --source, --call, --shell, or a command after --"


def job_of(options: Options) -> Job:
    """The job that the options of `arguments.add_definition` describe. Raises InvalidError."""
    _check_partners(options)
    return Job(
        id=options.job,
        name=options.name or options.job,
        description=options.description,
        run=_action_of(options),
        stocks=_words(options.stocks),
        trigger=_trigger_of(options),
        retries=_retries_of(options),
        timeout=options.timeout,
        item_timeout=options.item_timeout,
        concurrency=options.concurrency,
        launcher=options.launcher,
        misfire=Misfire(policy=options.misfire, grace=options.grace),
        overlap=options.overlap,
        jitter=options.jitter,
        enabled=not options.paused,
        tags=dict(options.tag),
    )


_PARTNERS = {"timezone": "cron", "at_open": "session", "offset": "session", "arg": "call"}


def _check_partners(options: Options) -> None:
    """Nothing, if no option is said that the others leave without effect. Raises InvalidError."""
    for name, partner in _PARTNERS.items():
        if getattr(options, name) and getattr(options, partner) is None:
            hint = "; --at takes an offset, 2026-01-31T06:00+01:00" if name == "timezone" and options.at else ""
            raise InvalidError(f"--{name.replace('_', '-')} goes with --{partner}{hint}")


def jobs_in(path: str) -> list[Job]:
    """The jobs in a JSON or TOML file, or in JSON on standard input ("-"): one, a list, or a list under "jobs".

    Raises InvalidError naming the job that is none.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        document: Any = tomllib.loads(text) if path.endswith(".toml") else json.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path}: {error}") from error
    if isinstance(document, dict) and "jobs" in document:
        document = cast("dict[str, Any]", document)["jobs"]
    listed: list[Any] = cast("list[Any]", document) if isinstance(document, list) else [cast("Any", document)]
    return [_job_in(entry, f"{path}, job {number}") for number, entry in enumerate(listed, 1)]


_KEPT_BY_US = ("version", "next_run_at", "last_run_at", "skipped", "created_at", "updated_at", "running")
"""What `jobs list --json` says of a job that is no part of its definition."""


def _job_in(entry: Any, where: str) -> Job:
    if not isinstance(entry, dict):
        raise InvalidError(f"{where}: a job is an object with at least a name")
    fields = cast("dict[str, Any]", entry)
    plain = {name: value for name, value in fields.items() if name not in _KEPT_BY_US}
    plain.setdefault("name", plain.get("id"))
    plain.setdefault("id", plain["name"])
    try:
        return convert(plain, Job)
    except InvalidError as error:
        raise InvalidError(f"{where}: {error}") from error


def _action_of(options: Options) -> Fetch | Call | Command:
    command: list[str] | None = options.behind_dashes
    fetching = options.source is not None or options.start or options.end
    said = [bool(command), options.shell is not None, options.call is not None, bool(fetching)]
    if sum(said) > 1:
        raise InvalidError(f"only one of these: {_ACTIONS}")
    if command:
        return Command(tuple(command))
    if options.shell is not None:
        return Command(options.shell)
    if options.call is not None:
        return Call(options.call, {key: _value(text) for key, text in options.arg})
    if not options.stocks:
        raise InvalidError(f"nothing to run; say {_ACTIONS}")
    return Fetch(source=options.source or "sample", start=options.start, end=options.end, days=options.days)


def _trigger_of(options: Options) -> Cron | Interval | Once | Session | None:
    if options.cron is not None:
        return Cron(options.cron, options.timezone or "UTC")
    if options.every is not None:
        return Interval(options.every)
    if options.at is not None:
        return Once(moment(options.at))
    if options.session is not None:
        return Session(options.session, "open" if options.at_open else "close", options.offset)
    return None


def _retries_of(options: Options) -> Retries:
    return Retries(limit=options.retries, backoff=options.backoff, failed_only=not options.retry_all)


def _value(text: str) -> Any:
    """A JSON value, or the text itself where it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _words(texts: list[str]) -> tuple[str, ...]:
    return tuple(word.strip() for text in texts for word in text.split(",") if word.strip())
