"""A job out of options, and out of a file."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any, cast

from execlog.cli.options import a_count, a_duration, a_positive_count, a_tag, a_time, one_of
from execlog.cli.parser import Options, Parser
from execlog.core.clock import moment
from execlog.core.codec import convert
from execlog.core.errors import InvalidError
from execlog.kinds.jobs import Call, Command, Cron, Fetch, Interval, Job, Misfire, Once, Retries, Session

_ACTIONS = "what to run: --stocks of a --source, --call, --shell, or a command after --"


def add_definition(parser: Parser) -> None:
    """The options that make a job."""
    parser.add_argument("job", metavar="JOB", help="the new job's id, such as nightly-backup")
    parser.add_argument("--name", metavar="NAME", help="what people call it (default: its id)")
    parser.add_argument("--description", metavar="TEXT", default="", help="what it is for")
    parser.add_argument(
        "--tag", metavar="K=V", type=a_tag, action="append", default=[], help="label it; may be repeated"
    )
    parser.add_argument("--paused", action="store_true", help="make it paused: only `jobs run` runs it")
    parser.add_argument("--replace", action="store_true", help="replace the job of this id where there is one")
    _add_action(parser)
    _add_trigger(parser)
    _add_policies(parser)


def job_of(options: Options) -> Job:
    """The job that the options of `add_definition` describe. Raises InvalidError."""
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


def _add_action(parser: Parser) -> None:
    group = parser.add_argument_group("what to run")
    group.add_argument(
        "--stocks", metavar="A,B", action="append", default=[], help="over these items, one outcome each"
    )
    group.add_argument("--source", metavar="NAME", help="fetch the stocks' prices from this source (default sample)")
    group.add_argument("--from", metavar="DAY", dest="start", help="with --source: from this day on, 2004-08-19")
    group.add_argument("--to", metavar="DAY", dest="end", help="with --source: to this day")
    group.add_argument(
        "--days", metavar="N", type=a_positive_count, default=30, help="… or the last so many (default 30)"
    )
    group.add_argument("--call", metavar="M:F", help="call this Python function, with each stock where there are some")
    group.add_argument("--arg", metavar="K=V", type=a_tag, action="append", default=[], help="with --call: an argument")
    group.add_argument("--shell", metavar="LINE", help="run this line in a shell, for each stock where there are some")


def _add_trigger(parser: Parser) -> None:
    group = parser.add_argument_group("when (default: only by `jobs run`)")
    when = group.add_mutually_exclusive_group()
    when.add_argument("--cron", metavar="EXPR", help='cron expression, 5 fields, or 6 with seconds first: "0 2 * * *"')
    when.add_argument("--every", metavar="TIME", type=a_duration, help="every so often: 30s, 15m, 6h")
    when.add_argument("--at", metavar="TIME", type=a_time, help="once: 2026-01-31T06:00Z")
    when.add_argument("--session", metavar="CALENDAR", help="at each session of an exchange: XNYS (extra: calendars)")
    group.add_argument("--timezone", metavar="ZONE", default="UTC", help="with --cron: Europe/Berlin (default UTC)")
    group.add_argument("--at-open", action="store_true", help="with --session: at its open (default: its close)")
    group.add_argument(
        "--offset", metavar="TIME", type=a_duration, default=0.0, help="with --session: so long after it"
    )


def _add_policies(parser: Parser) -> None:
    group = parser.add_argument_group("when it goes wrong")
    group.add_argument("--retries", metavar="N", type=a_count, default=0, help="try again up to so often (default 0)")
    group.add_argument(
        "--backoff", metavar="TIME", type=a_duration, default=30.0, help="after this long, doubling (30s)"
    )
    group.add_argument("--retry-all", action="store_true", help="try all items again, not only those that failed")
    group.add_argument("--timeout", metavar="TIME", type=a_duration, help="end an execution after this long")
    group.add_argument("--item-timeout", metavar="TIME", type=a_duration, help="end an item after this long")
    group.add_argument("--concurrency", metavar="N", type=a_positive_count, default=4, help="items side by side (4)")
    _add_word(parser, group, "--launcher", ("threads", "processes"), "where items run")
    _add_word(parser, group, "--overlap", ("skip", "queue", "allow"), "while the run before is still going")
    _add_word(parser, group, "--misfire", ("once", "skip", "all"), "instants that nobody could run in time")
    group.add_argument("--grace", metavar="TIME", type=a_duration, default=60.0, help="what is in time (default 60s)")
    group.add_argument("--jitter", metavar="TIME", type=a_duration, default=0.0, help="start up to so much later")


def _add_word(
    parser: Parser,
    group: argparse._ArgumentGroup,  # pyright: ignore[reportPrivateUsage] - argparse has no public name for it
    option: str,
    words: tuple[str, ...],
    help_: str,
) -> None:
    shown = f"{help_}: {', '.join(words)} (default {words[0]})"
    group.add_argument(option, metavar="WORD", type=one_of(words), default=words[0], help=shown)
    parser.suggest(option, words)


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
        return Cron(options.cron, options.timezone)
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
