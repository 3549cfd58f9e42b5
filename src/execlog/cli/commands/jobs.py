"""`execlog jobs`: what it takes."""

from __future__ import annotations

from collections.abc import Callable

from execlog.cli.jobs.arguments import add_definition
from execlog.cli.options import a_positive_count, add_json, add_wait
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Jobs live in the store: what to run, when, over which items. `execlog serve` runs those that are due. "
    "Every change is seen by a running server at once."
)
EXAMPLES = (
    'execlog jobs add nightly-backup --cron "0 2 * * *" --timezone Europe/Berlin -- ./backup.sh --full',
    "execlog jobs add prices --stocks MSFT,GOOG --source feed --days 7 --session XNYS --offset 15m --retries 3",
    "execlog jobs list",
    "execlog jobs run prices --stocks GOOG",
)


def configure(parser: Parser) -> None:
    """Declare the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="action", metavar="COMMAND", required=True, title="commands")

    def add(name: str, summary: str) -> Parser:
        return commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")

    _configure_reading(add)
    _configure_changing(add)


def _configure_reading(add: Callable[[str, str], Parser]) -> None:
    child = add("list", "list jobs, the newest first")
    add_json(child, "print the list of jobs")
    child.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")
    child = add("show", "show one job")
    child.add_argument("job", metavar="JOB", help="its id")
    add_json(child, "print what GET /scheduler/jobs/{id} gives")
    child = add("history", "list the executions of a job")
    child.add_argument("job", metavar="JOB", help="its id")
    child.add_argument("-n", "--limit", metavar="N", type=a_positive_count, default=50, help="at most so many (50)")
    child.add_argument("--status", metavar="WORD", help="success, partial_success, failed, running or queued")
    add_json(child, "print what GET /scheduler/jobs/{id}/history gives")
    child.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")


def _configure_changing(add: Callable[[str, str], Parser]) -> None:
    child = add("add", "make a job")
    add_definition(child)
    add_json(child, "print the job")
    child = add("import", "make or replace the jobs of a file")
    child.add_argument("file", metavar="FILE", help="JSON or TOML: a job, a list, or a list under jobs; - is stdin")
    add_json(child, "print the jobs")
    child = add("run", "run a job now, and say how it went")
    child.add_argument("job", metavar="JOB", help="its id")
    child.add_argument("--stocks", metavar="A,B", action="append", default=[], help="only these of its stocks")
    add_wait(child)
    add_json(child, "print the execution")
    for name, summary in (
        ("pause", "let a job's trigger do nothing"),
        ("resume", "let a paused job run again, from now on"),
        ("cancel", "end a job's executions that run or wait"),
        ("rm", "remove jobs; their history stays"),
    ):
        child = add(name, summary)
        child.add_argument("jobs", metavar="JOB", nargs="+", help="their ids")
