"""The options that make a job. Cheap to load: help needs no more."""

from __future__ import annotations

import argparse

from execlog.cli.options import a_count, a_duration, a_positive_count, a_tag, a_time_to_come, one_of
from execlog.cli.parser import Parser


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
    when.add_argument("--cron", metavar="EXPR", help='5 fields, or 6 with seconds first: "0 2 * * *"; or @daily')
    when.add_argument("--every", metavar="TIME", type=a_duration, help="every so often: 30s, 15m, 6h")
    when.add_argument("--at", metavar="TIME", type=a_time_to_come, help="once: 2026-01-31T06:00Z, or 90m from now")
    when.add_argument("--session", metavar="CALENDAR", help="at each session of an exchange: XNYS (extra: calendars)")
    group.add_argument("--timezone", metavar="ZONE", help="with --cron: Europe/Berlin (default UTC)")
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
