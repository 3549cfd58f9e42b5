"""Options that several commands share: the place, the form of the answer, and the filter."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from execlog.cli import units
from execlog.cli.parser import Options, Parser, did_you_mean

if TYPE_CHECKING:
    from execlog.core.filter import Filter

T = TypeVar("T")
STATUSES = ("queued", "running", "succeeded", "partial", "failed", "timed_out", "cancelled", "crashed")
STATUS_GROUPS = {
    "open": ("queued", "running"),
    "ended": ("succeeded", "partial", "failed", "timed_out", "cancelled", "crashed"),
    "bad": ("partial", "failed", "timed_out", "cancelled", "crashed"),
}
KINDS = ("job", "workflow", "pipeline", "query", "command")
SORTS = ("newest", "oldest", "slowest", "costliest")
_LAST_PORT = 65_535
_NARROWING = {
    "kind": "job, workflow, pipeline, query, command, or one of your own",
    "namespace": "of this namespace: a project, a tenant",
    "subject": "what ran: a job's id, a command's name, a connection",
    "actor": "who or what started it: a user, schedule, manual",
    "engine": "what it ran on: a database type, a launcher",
}


def add_everywhere(parser: Parser) -> None:
    """Where the history is, and how answers look; before and after the name of a subcommand."""
    for place, default in ((parser, None), *((child, argparse.SUPPRESS) for child in parser.subcommands().values())):
        group = place.add_argument_group("everywhere")
        home = "folder of the history (default: EXECLOG_HOME, or the user's data folder)"
        group.add_argument("--home", metavar="DIR", default=default, help=home)
        store = "store to use (default: EXECLOG_STORE, or SQLite in the home)"
        group.add_argument("--store", metavar="URL", default=default, help=store)
        off = default or False
        group.add_argument("--no-color", action="store_true", default=off, help="no colours (as does NO_COLOR)")
        group.add_argument(
            "--table", action="store_true", default=off, help="in a pipe: print what a terminal would show"
        )


def add_json(parser: Parser, help_: str = "print JSON") -> None:
    """The form of the answer."""
    parser.add_argument("--json", action="store_true", help=help_)


def add_id(parser: Parser, help_: str = "the execution's id, or the beginning of it that no other has") -> None:
    """The argument that names an execution."""
    parser.add_argument("id", metavar="ID", help=help_)
    add_identity(parser)


def add_identity(parser: Parser) -> None:
    """Options that tell executions of one id apart."""
    parser.add_argument("--kind", metavar="KIND", help="where several kinds have the id")
    parser.add_argument("--namespace", metavar="NAMESPACE", help="where several namespaces have the id")


def add_check(parser: Parser) -> None:
    """The option that turns a status into the exit code."""
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 where something failed, 6 where something is partial"
    )


def add_yes(parser: Parser) -> None:
    """The option that answers beforehand."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask; needed where nobody can answer")


def add_wait(parser: Parser) -> None:
    """The options that say where a job runs and whether to wait for it."""
    parser.add_argument("--no-wait", action="store_true", help="leave the job to the server and print its id at once")
    parser.add_argument("--here", action="store_true", help="run the job in this process, also where a server runs")


def add_filter(parser: Parser) -> None:
    """Which executions."""
    group = parser.add_argument_group("filter")
    for name, help_ in _NARROWING.items():
        group.add_argument(f"--{name}", metavar=name.upper(), help=help_)
    group.add_argument(
        "--status", metavar="STATUS", type=a_list_of_statuses, action="extend", default=[], help=_STATUS_HELP
    )
    group.add_argument(
        "--since", metavar="TIME", type=a_time, help="from this time on: 24h, 7d, 2026-01-31, 2026-01-31T06:00Z (UTC)"
    )
    group.add_argument("--until", metavar="TIME", type=a_time, help="before this time")
    group.add_argument("--item", metavar="KEY", help="has an item of this key, such as a stock")
    group.add_argument(
        "--item-status", metavar="STATUS", type=a_status, help="with --item: and that item has this status"
    )
    group.add_argument("--text", metavar="WORDS", help="its error, an item's, or its searchable text contains this")
    group.add_argument("--fingerprint", metavar="HEX", help="ended with this error, as `failures` shows it")
    for bound, word in (("min", "at least"), ("max", "at most")):
        group.add_argument(
            f"--{bound}-duration", metavar="TIME", type=a_duration, help=f"took {word} this long: 250ms, 90s, 15m"
        )
        group.add_argument(f"--{bound}-cost", metavar="USD", type=an_amount, help=f"cost {word} this many US dollars")
        group.add_argument(
            f"--{bound}-tokens", metavar="N", type=a_count, help=f"used {word} so many tokens, in plus out"
        )
    group.add_argument(
        "--tag", metavar="K=V", type=a_tag, action="append", default=[], help="has this tag; several must all match"
    )
    group.add_argument("--parent", metavar="ID", dest="parent_id", help="child of this execution")
    group.add_argument("--retry-of", metavar="ID", help="retry of this execution")
    parser.suggest("--status", (*STATUSES, *STATUS_GROUPS))
    parser.suggest("--item-status", STATUSES)
    parser.suggest("--kind", KINDS)


def add_page(parser: Parser, limit: int) -> None:
    """How many, in which order, from where."""
    group = parser.add_argument_group("page")
    group.add_argument(
        "-n", "--limit", metavar="N", type=a_positive_count, default=limit, help=f"at most so many (default {limit})"
    )
    group.add_argument("--cursor", metavar="CURSOR", help="go on after a page, with the cursor it gave")
    group.add_argument("--sort", **_SORT)
    parser.suggest("--sort", SORTS)


def add_sort(parser: Parser) -> None:
    """In which order."""
    parser.add_argument("--sort", **_SORT)
    parser.suggest("--sort", SORTS)


def filter_of(options: Options, **changes: Any) -> Filter:
    """The Filter of the options that `add_filter` and `add_sort` declare; `changes` beat them."""
    from execlog.core.filter import as_filter

    names = (
        *_NARROWING,
        "since",
        "until",
        "item",
        "item_status",
        "text",
        "fingerprint",
        "min_duration",
        "max_duration",
        "min_tokens",
        "max_tokens",
        "parent_id",
        "retry_of",
        "sort",
    )
    fields = {name: getattr(options, name, None) for name in names}
    fields["statuses"] = list(dict.fromkeys(options.status))
    fields["tags"] = dict(options.tag) or None
    fields["min_cost_nano"], fields["max_cost_nano"] = options.min_cost, options.max_cost
    return as_filter({name: value for name, value in (fields | changes).items() if value is not None})


def is_narrow(filter_: Filter) -> bool:
    """Whether a filter asks for less than everything."""
    import msgspec

    return bool(set(msgspec.to_builtins(filter_)) - {"sort"})


def a_time(text: str) -> int:
    """UTC µs."""
    from execlog.core.clock import SystemClock, parse_when
    from execlog.core.errors import InvalidError

    try:
        return parse_when(text, now=SystemClock().now())
    except InvalidError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def a_time_to_come(text: str) -> int:
    """UTC µs; a span counts from now on."""
    from execlog.core.clock import MAX_AT, SystemClock

    try:
        seconds = a_duration(text) if text[-1:].isalpha() else None
    except argparse.ArgumentTypeError:
        seconds = None
    return a_time(text) if seconds is None else min(SystemClock().now() + round(seconds * 1e6), MAX_AT)


def a_duration(text: str) -> float:
    """Seconds."""
    from execlog.core.clock import parse_seconds

    return _parsed(parse_seconds, text, "a duration; write 250ms, 90s, 15m, 24h or 7d")


def an_amount(text: str) -> int:
    """10⁻⁹ US dollars."""
    return _parsed(units.parse_dollars, text, "an amount of US dollars; write 0.05")


def a_count(text: str) -> int:
    """A number that is not negative."""
    return _parsed(_natural, text, "a count; write a whole number that is not negative")


def a_positive_count(text: str) -> int:
    """A number of at least 1."""
    if a_count(text) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def a_port(text: str) -> int:
    """A port of TCP; 0 stands for a free one."""
    number = _parsed(_natural, text, "a port; write a number from 0 to 65535")
    if number > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"there is no port {number}; write a number from 0 to {_LAST_PORT}")
    return number


def a_tag(text: str) -> tuple[str, str]:
    """A tag's name and value."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"not a tag: {text!r}; write NAME=VALUE")
    return name, value


def a_status(text: str) -> str:
    """A canonical status."""
    return one_of(STATUSES)(text)


def a_list_of_statuses(text: str) -> list[str]:
    """Canonical statuses of a comma-separated list, groups of them spelled out."""
    words = [one_of((*STATUSES, *STATUS_GROUPS))(word) for word in re.split(r"[,\s]+", text.strip())]
    return [status for word in words for status in STATUS_GROUPS.get(word, (word,))]


def one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    """A parser of one of these words."""

    def word_of(text: str) -> str:
        word = text.strip().lower().replace("-", "_")
        if word not in known:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(known)}{did_you_mean(word, known)}")
        return word

    return word_of


def _natural(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**63:
        raise ValueError(text)
    return value


def _parsed(parse: Callable[[str], T], text: str, expected: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}") from error


_STATUS_HELP = f"one or several, with commas: {', '.join(STATUSES)}; or {', '.join(STATUS_GROUPS)}"
_SORT: dict[str, Any] = {
    "metavar": "ORDER",
    "type": one_of(SORTS),
    "default": "newest",
    "help": f"{', '.join(SORTS)} (default newest)",
}
