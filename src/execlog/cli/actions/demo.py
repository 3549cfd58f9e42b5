"""`execlog demo`: what it does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec.structs import replace

from execlog.cli import exits
from execlog.cli.demo import story
from execlog.cli.demo.families import FAMILIES, Family, Shown, run_family
from execlog.cli.demo.jobs import YEARS, backfill_of, tick, write_settings
from execlog.cli.demo.place import Place, check_empty, fresh_home
from execlog.cli.executions import write_execution
from execlog.cli.families import open_families
from execlog.cli.following import News, follow, newest_change
from execlog.cli.parser import Options
from execlog.cli.terminal import Terminal
from execlog.core.errors import SettingsError
from execlog.core.filter import Filter
from execlog.core.model import OPEN, TERMINAL, Execution
from execlog.core.settings import load
from execlog.kind import Kind
from execlog.kinds.jobs import SchedulerServingApp
from execlog.kinds.jobs.desk import RunRequest
from execlog.kinds.jobs.feed import PriceFeed
from execlog.ledger import Ledger
from execlog.web.server import Server

_PATIENCE = 60.0
"""Seconds the backfill may take before something is wrong."""
_LOOK_SECONDS = 0.02


def execute(options: Options, terminal: Terminal) -> int:
    """Run the demo; 0 when it went as it should."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = fresh_home(options.home)
    began = time.monotonic()
    try:
        with _world(options, home) as (ledger, jobs, url):
            terminal.text(f"Backfilling five stocks, 2000 to 2010, from a feed on this machine into {ledger.store.url}")
            ended = _backfill(ledger, jobs, terminal)
            families = [Shown("job", tuple(ended)), *(_show(ledger, family, terminal) for family in FAMILIES)]
            story.write_summary(terminal, families, time.monotonic() - began)
            partial = next((one.id for one in ended if one.counts.failed), ended[-1].id)
            # With --once what served meanwhile ends now, and may have been on any port.
            usual = f"http://127.0.0.1:{options.port or ledger.settings.port}"
            named = options.store or os.environ.get("EXECLOG_STORE")
            place = Place(home, ledger.settings.store if named else None)
            story.write_hints(terminal, usual if options.once else url, place, partial, once=options.once)
            terminal.flush()
            if not options.once:
                _tick(ledger, jobs, terminal)
    except KeyboardInterrupt:
        terminal.line()
        terminal.line("Stopped.")
    return exits.OK


@contextmanager
def _world(options: Options, home: Path) -> Generator[tuple[Ledger, SchedulerServingApp, str]]:
    """The feed, the ledger, the scheduler and the server, while the context lasts; and the server's URL."""
    with ExitStack() as stack:
        feed = stack.enter_context(PriceFeed())
        write_settings(home, feed.url)
        store = options.store or f"sqlite:///{home / 'execlog.db'}"
        settings = load(home=str(home), store=store, host="127.0.0.1", tokens={})
        ledger = stack.enter_context(Ledger.open(settings=settings, drains_home=True))
        check_empty(ledger.store, home)
        kinds, jobs = stack.enter_context(open_families(ledger, schedule=True))
        url = stack.enter_context(_server(ledger, kinds, options.port).in_thread())
        yield ledger, jobs, url


def _server(ledger: Ledger, kinds: Sequence[Kind], port: int | None) -> Server:
    """A server on the port asked for, or else on the usual one, or else on a free one."""
    if port is not None:
        return Server(ledger, kinds, replace(ledger.settings, port=port))
    try:
        return Server(ledger, kinds, ledger.settings)
    except SettingsError:  # taken
        return Server(ledger, kinds, replace(ledger.settings, port=0))


def _backfill(ledger: Ledger, jobs: SchedulerServingApp, terminal: Terminal) -> list[Execution]:
    """What became of each year, oldest first; a line is written as each ends. Raises TimeoutError."""
    started: list[str] = []
    for year in YEARS:
        job = jobs.desk.create(backfill_of(year))
        started.append(jobs.desk.run(job.id, RunRequest(), triggered_by="demo").execution_id)
    deadline = time.monotonic() + _PATIENCE
    ended: list[Execution] = []
    for execution_id in started:
        ended.append(_awaited(ledger, execution_id, deadline))
        story.write_ended(terminal, ended[-1])
    return ended


def _show(ledger: Ledger, family: Family, terminal: Terminal) -> Shown:
    """What became of a family; lines are written about it."""
    story.write_heading(terminal, family)
    shown = run_family(ledger, family)
    for one in shown.executions:
        story.write_ended(terminal, one)
    return shown


def _awaited(ledger: Ledger, execution_id: str, deadline: float) -> Execution:

    while time.monotonic() < deadline:
        found = ledger.store.get(execution_id, kind="job")
        if found is not None and found.status not in OPEN:
            return found
        time.sleep(_LOOK_SECONDS)
    raise TimeoutError(f"execution {execution_id} has not ended within {_PATIENCE:g} s")


def _tick(ledger: Ledger, jobs: SchedulerServingApp, terminal: Terminal) -> None:
    """Run a job every few seconds, with a line for each, until interrupted."""
    news, place = News(), newest_change(ledger.store)
    jobs.desk.create(tick())
    terminal.line("Going on with a job every few seconds; Ctrl-C ends the demo.")
    terminal.flush()
    for changed in follow(ledger.store, Filter(kind="job", statuses=tuple(TERMINAL)), place, every=0.1):
        for one in news.of(changed):
            write_execution(terminal, one, one.id, indent="  ")
        terminal.flush()
