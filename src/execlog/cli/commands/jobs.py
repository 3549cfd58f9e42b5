"""`execlog jobs`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import msgspec

from execlog.cli import exits
from execlog.cli.commands.list import nothing, write_executions
from execlog.cli.executions import FIELDS as EXECUTION_FIELDS
from execlog.cli.executions import values as execution_values
from execlog.cli.jobs import view
from execlog.cli.jobs.definition import add_definition, job_of, jobs_in
from execlog.cli.jobs.running import add_wait, run_job
from execlog.cli.options import a_positive_count, add_json
from execlog.cli.parser import Options, Parser, complain
from execlog.cli.place import now, open_ledger
from execlog.cli.table import write_table, write_values
from execlog.cli.terminal import Terminal, printable
from execlog.core.errors import ConflictError, InvalidError, NotFoundError
from execlog.core.filter import Filter
from execlog.core.model import Execution
from execlog.kinds.jobs import Job, SchedulerServingApp
from execlog.kinds.jobs.desk import JobView
from execlog.kinds.jobs.record import statuses_for

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
_MOST = 1000


def configure(parser: Parser) -> None:
    """Declare the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="action", metavar="COMMAND", required=True, title="commands")

    def add(name: str, summary: str, execute_it: Callable[..., int]) -> Parser:
        child: Parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        child.set_defaults(execute=execute_it)
        return child

    _configure_reading(add)
    _configure_changing(add)


def _configure_reading(add: Callable[..., Parser]) -> None:
    child = add("list", "list jobs, the newest first", _list)
    add_json(child, "print the list of jobs")
    child.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")
    child = add("show", "show one job", _show)
    child.add_argument("job", metavar="JOB", help="its id")
    add_json(child, "print what GET /scheduler/jobs/{id} gives")
    child = add("history", "list the executions of a job", _history)
    child.add_argument("job", metavar="JOB", help="its id")
    child.add_argument("-n", "--limit", metavar="N", type=a_positive_count, default=50, help="at most so many (50)")
    child.add_argument("--status", metavar="WORD", help="success, partial_success, failed, running or queued")
    add_json(child, "print what GET /scheduler/jobs/{id}/history gives")
    child.add_argument("--no-header", action="store_true", help="in a pipe: no line of names")


def _configure_changing(add: Callable[..., Parser]) -> None:
    child = add("add", "make a job", _add)
    add_definition(child)
    add_json(child, "print the job")
    child = add("import", "make or replace the jobs of a file", _import)
    child.add_argument("file", metavar="FILE", help="JSON or TOML: a job, a list, or a list under jobs; - is stdin")
    add_json(child, "print the jobs")
    child = add("run", "run a job now, and say how it went", _run)
    child.add_argument("job", metavar="JOB", help="its id")
    child.add_argument("--stocks", metavar="A,B", action="append", default=[], help="only these of its stocks")
    add_wait(child)
    add_json(child, "print the execution")
    for name, summary, execute_it in (
        ("pause", "let a job's trigger do nothing", _pause),
        ("resume", "let a paused job run again, from now on", _resume),
        ("cancel", "end a job's executions that run or wait", _cancel),
        ("rm", "remove jobs; their history stays", _rm),
    ):
        child = add(name, summary, execute_it)
        child.add_argument("jobs", metavar="JOB", nargs="+", help="their ids")


def execute(options: Options, terminal: Terminal) -> int:
    """Run the subcommand."""
    return options.execute(options, terminal)


@contextmanager
def _open(options: Options) -> Generator[SchedulerServingApp]:
    with open_ledger(options) as ledger, SchedulerServingApp(ledger) as app:
        ledger.drain_dead()
        yield app


def _every(app: SchedulerServingApp) -> list[JobView]:
    jobs: list[JobView] = []
    cursor = None
    while True:
        page = app.desk.list(limit=_MOST, cursor=cursor)
        jobs += page.entries
        cursor = page.next_cursor
        if cursor is None:
            return jobs


def _latest(app: SchedulerServingApp, subject: str | None = None) -> dict[str, Execution]:
    found = app.ledger.store.latest(Filter(kind="job", subject=subject), limit=_MOST)
    return {one.subject or "": one for one in found}


def _list(options: Options, terminal: Terminal) -> int:
    with _open(options) as app:
        jobs, latest = _every(app), _latest(app)
    if options.json:
        terminal.line(msgspec.json.encode(jobs).decode())
    elif not terminal.interactive:
        write_values(terminal, view.FIELDS, (view.values(job, latest) for job in jobs), header=not options.no_header)
    elif jobs:
        write_table(terminal, view.columns(terminal, now(), latest), jobs)
    else:
        terminal.line("No jobs yet. Try: execlog jobs add hello --every 10s -- echo hello")
    return exits.OK


def _show(options: Options, terminal: Terminal) -> int:
    with _open(options) as app:
        job = app.desk.get(options.job)
        last = _latest(app, options.job).get(options.job)
    if options.json:
        terminal.line(msgspec.json.encode(job).decode())
    else:
        view.write_job(terminal, job, now(), last)
    return exits.OK


def _history(options: Options, terminal: Terminal) -> int:
    with _open(options) as app:
        app.check_known(options.job)
        if options.json:
            records = app.get_job_execution_history(options.job, options.limit, options.status)
            terminal.line(msgspec.json.encode(records).decode())
            return exits.OK
        asked = Filter(kind="job", subject=options.job, statuses=statuses_for(options.status))
        found = app.ledger.store.find(asked, limit=options.limit).entries
    if not terminal.interactive:
        write_values(terminal, EXECUTION_FIELDS, map(execution_values, found), header=not options.no_header)
    elif found:
        write_executions(terminal, found)
    else:
        terminal.line(nothing(asked))
    return exits.OK


def _add(options: Options, terminal: Terminal) -> int:
    job = job_of(options)
    with _open(options) as app:
        made = _put(app, job) if options.replace else _create(app, job)
    _say([made], "added", options, terminal)
    return exits.OK


def _import(options: Options, terminal: Terminal) -> int:
    jobs = jobs_in(options.file)
    made: list[JobView] = []
    with _open(options) as app:
        for job in jobs:
            try:
                made.append(_put(app, job))
            except InvalidError as error:
                complain(f"job {job.id!r}: {error}")
    _say(made, "imported", options, terminal)
    if len(made) == len(jobs):
        return exits.OK
    return exits.PARTIAL if made else exits.USAGE


def _create(app: SchedulerServingApp, job: Job) -> JobView:
    try:
        return app.desk.create(job)
    except ConflictError as error:
        raise ConflictError(f"{error}; --replace replaces it") from error


def _put(app: SchedulerServingApp, job: Job) -> JobView:
    return app.desk.replace(job.id, job) if app.desk.knows(job.id) else app.desk.create(job)


def _run(options: Options, terminal: Terminal) -> int:
    stocks = tuple(word for text in options.stocks for word in text.split(",") if word)
    with open_ledger(options) as ledger:
        return run_job(ledger, options.job, options, terminal, stocks=stocks or None)


def _pause(options: Options, terminal: Terminal) -> int:
    return _each(options, terminal, lambda app, job: app.desk.set_enabled(job, enabled=False), "paused")


def _resume(options: Options, terminal: Terminal) -> int:
    return _each(options, terminal, lambda app, job: app.desk.set_enabled(job, enabled=True), "resumed")


def _cancel(options: Options, terminal: Terminal) -> int:
    return _each(options, terminal, lambda app, job: app.desk.cancel(job), "cancelled")


def _rm(options: Options, terminal: Terminal) -> int:
    def remove(app: SchedulerServingApp, job: str) -> None:
        if not app.desk.delete(job):
            raise NotFoundError(f"there is no job {job!r}")

    return _each(options, terminal, remove, "removed")


def _each(options: Options, terminal: Terminal, change: Callable[[SchedulerServingApp, str], Any], word: str) -> int:
    """The exit code of a change to each of the jobs named: 3 where none is there, 6 where some are not."""
    done = 0
    with _open(options) as app:
        for job in options.jobs:
            try:
                change(app, job)
            except NotFoundError as error:
                complain(str(error))
                continue
            done += 1
            terminal.line(f"{printable(job)} {word}")
    if done == len(options.jobs):
        return exits.OK
    return exits.PARTIAL if done else exits.NOT_FOUND


def _say(made: list[JobView], word: str, options: Options, terminal: Terminal) -> None:
    if options.json:
        terminal.line(msgspec.json.encode(made if word == "imported" else made[0]).decode())
        return
    for job in made:
        terminal.line(
            f"{printable(job.id)} {word}: {printable(view.action_text(job))}, {view.trigger_text(job.trigger)}"
        )
