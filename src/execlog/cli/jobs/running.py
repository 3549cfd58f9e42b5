"""Running a job now: by the server of the home where there is one, else in this process."""

from __future__ import annotations

import time
from contextlib import suppress

from execlog.cli import exits
from execlog.cli.outcome import exit_code, write_outcome
from execlog.cli.parser import Options
from execlog.cli.place import hand_on
from execlog.cli.terminal import Terminal
from execlog.core.errors import NotFoundError
from execlog.core.model import OPEN, Execution
from execlog.kinds.jobs import Fetch, SchedulerServingApp
from execlog.kinds.jobs.desk import RunRequest, stocks_left
from execlog.kinds.jobs.fetcher import Fetcher
from execlog.ledger import Ledger
from execlog.recorder.home import Home
from execlog.runner.firing import decode_job
from execlog.runner.order import Order
from execlog.runner.runner import Runner
from execlog.runner.validation import check_narrowed

_LOOK_SECONDS = 0.1


def run_job(
    ledger: Ledger,
    job_id: str,
    options: Options,
    terminal: Terminal,
    *,
    stocks: tuple[str, ...] | None = None,
    retry_of: Execution | None = None,
) -> int:
    """The exit code of a job that is run now: how it went, or 0 where nobody waits for it."""
    with SchedulerServingApp(ledger) as app:
        served = Home(ledger.root, ledger.clock.now).served_by_another()
        if options.here or (not served and not options.no_wait):
            found = _run_here(ledger, app, job_id, _narrowed(app, job_id, options, stocks, retry_of), retry_of)
        else:
            failed_only = bool(retry_of and options.failed_items)
            asked = RunRequest(stocks=stocks, retry_of=retry_of.id if retry_of else None, failed_only=failed_only)
            started = app.desk.run(job_id, asked)
            if options.no_wait:
                terminal.line(started.execution_id)
                return exits.OK
            found = _awaited(ledger, started.execution_id)
    with suppress(BrokenPipeError):  # who reads no further is told how it went all the same
        write_outcome(found, options, terminal)
    return exit_code([found.status])


def _narrowed(
    app: SchedulerServingApp,
    job_id: str,
    options: Options,
    stocks: tuple[str, ...] | None,
    retry_of: Execution | None,
) -> tuple[str, ...] | None:
    """The stocks to run it over; None for all."""
    job = app.desk.get(job_id)
    if retry_of is not None and options.failed_items:
        return stocks_left(job, retry_of)
    if stocks is not None:
        check_narrowed(job, stocks)
    return stocks


def _run_here(
    ledger: Ledger,
    app: SchedulerServingApp,
    job_id: str,
    stocks: tuple[str, ...] | None,
    retry_of: Execution | None,
) -> Execution:
    """The execution, run in this process; unlike the server, it does not look whether the job is running already."""
    entry = app.jobs.get(job_id)
    if entry is None:
        raise NotFoundError(f"there is no job {job_id!r}")
    hand_on(ledger)
    fetcher = Fetcher(app.sources, ledger.settings.home / "prices.db")
    runner = Runner(ledger.recorder, performs={Fetch: fetcher})
    order = Order(
        execution_id=ledger.new_id(),
        job=decode_job(entry),
        items=stocks,
        triggered_by="retry" if retry_of else "manual",
        retry_of=retry_of.id if retry_of else None,
        root_id=(retry_of.root_id or retry_of.id) if retry_of else None,
    )
    try:
        runner.run(order)
    finally:
        runner.close(reason="interrupted")
    ledger.flush()
    return _awaited(ledger, order.execution_id)


def _awaited(ledger: Ledger, execution_id: str) -> Execution:
    """The execution, once it has ended. Whoever interrupts the waiting leaves it running."""
    while True:
        found = ledger.store.get(execution_id, kind="job")
        if found is not None and found.status not in OPEN:
            return found
        time.sleep(_LOOK_SECONDS)
