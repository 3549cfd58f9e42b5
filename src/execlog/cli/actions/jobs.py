"""`execlog jobs`: what it does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import msgspec

from execlog.cli import exits, units
from execlog.cli.actions.list import nothing, write_executions
from execlog.cli.executions import FIELDS as EXECUTION_FIELDS
from execlog.cli.executions import values as execution_values
from execlog.cli.jobs import view
from execlog.cli.jobs.definition import job_of, jobs_in
from execlog.cli.jobs.running import run_job
from execlog.cli.parser import Options, complain
from execlog.cli.place import check_there, now, open_ledger
from execlog.cli.table import write_table, write_values
from execlog.cli.terminal import Terminal, printable
from execlog.core.errors import ConflictError, InvalidError, NotFoundError
from execlog.core.filter import Filter
from execlog.core.model import BEGUN, Execution
from execlog.history.listing import newest_with
from execlog.history.reason import explained
from execlog.kinds.jobs import Job, SchedulerServingApp
from execlog.kinds.jobs.desk import JobView
from execlog.kinds.jobs.record import statuses_for
from execlog.kinds.jobs.wording import is_late, trigger_text

_MOST = 1000
_MAKING = frozenset({"add", "import"})
"""What may begin a history."""


def execute(options: Options, terminal: Terminal) -> int:
    """Run the subcommand."""
    return _SUBCOMMANDS[options.action](options, terminal)


@contextmanager
def _open(options: Options) -> Generator[SchedulerServingApp]:
    if options.action not in _MAKING:
        check_there(options)
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
    return {one.subject or "": newest_with(app.ledger.store, BEGUN, one) for one in found}


def _waiting(app: SchedulerServingApp, jobs: Sequence[JobView]) -> set[str]:
    """The ids of those of the jobs' executions that wait: for their time, or for the one before."""
    firings = (firing for job in jobs if job.running for firing in app.jobs.firings(job_id=job.id))
    return {firing.execution_id for firing in firings if firing.state == "waiting"}


def _list(options: Options, terminal: Terminal) -> int:
    with _open(options) as app:
        jobs, latest = _every(app), _latest(app)
        waiting = _waiting(app, jobs)
    if options.json:
        terminal.line(msgspec.json.encode(jobs).decode())
    elif not terminal.interactive:
        write_values(
            terminal,
            view.FIELDS,
            (view.values(job, now(), latest, waiting) for job in jobs),
            header=not options.no_header,
        )
    elif jobs:
        write_table(terminal, view.columns(terminal, now(), latest, waiting), jobs)
        if any(is_late(job, now()) for job in jobs):
            terminal.line("What is late is due, and nobody has begun it: `execlog serve` runs what is due.")
    else:
        terminal.line("No jobs yet. Try: execlog jobs add hello --every 10s -- echo hello")
    return exits.OK


def _show(options: Options, terminal: Terminal) -> int:
    with _open(options) as app:
        job = app.desk.get(options.job)
        last = _latest(app, options.job).get(options.job)
        waiting = _waiting(app, [job])
    if options.json:
        terminal.line(msgspec.json.encode(job).decode())
    else:
        view.write_job(terminal, job, now(), last, waiting)
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
            shown = map(execution_values, explained(app.ledger.store, found))
            write_values(terminal, EXECUTION_FIELDS, shown, header=not options.no_header)
        elif found:
            write_executions(app.ledger.store, terminal, found)
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
    check_there(options)
    with open_ledger(options) as ledger:
        return run_job(ledger, options.job, options, terminal, stocks=stocks or None)


def _pause(options: Options, terminal: Terminal) -> int:
    def pause(app: SchedulerServingApp, job: str) -> str:
        app.desk.set_enabled(job, enabled=False)
        return "paused"

    return _each(options, terminal, pause)


def _resume(options: Options, terminal: Terminal) -> int:
    def resume(app: SchedulerServingApp, job: str) -> str:
        resumed = app.desk.set_enabled(job, enabled=True)
        if resumed.trigger is None:
            return "resumed"
        return (
            f"resumed, next {view.when_next(resumed, now())}" if resumed.next_run_at else "resumed; nothing is to come"
        )

    return _each(options, terminal, resume)


def _cancel(options: Options, terminal: Terminal) -> int:
    def cancel(app: SchedulerServingApp, job: str) -> str:
        return "cancelled" if app.desk.cancel(job).cancelled else "has nothing to cancel: it is not running"

    return _each(options, terminal, cancel)


def _rm(options: Options, terminal: Terminal) -> int:
    def remove(app: SchedulerServingApp, job: str) -> str:
        if not app.desk.delete(job):
            raise NotFoundError(f"there is no job {job!r}")
        return "removed"

    return _each(options, terminal, remove)


def _each(options: Options, terminal: Terminal, change: Callable[[SchedulerServingApp, str], str]) -> int:
    """The exit code of a change to each of the jobs named, which says what it did: 3 for none, 6 where some are not."""
    done = 0
    with _open(options) as app:
        for job in options.jobs:
            try:
                word = change(app, job)
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
        runs, when = printable(view.action_text(job)), trigger_text(job.trigger, units.seconds)
        terminal.line(f"{printable(job.id)} {word}: {runs}, {when}")


_SUBCOMMANDS: dict[str, Callable[[Options, Terminal], int]] = {
    "list": _list,
    "show": _show,
    "history": _history,
    "add": _add,
    "import": _import,
    "run": _run,
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "rm": _rm,
}
