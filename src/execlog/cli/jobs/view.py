"""How jobs look."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from zoneinfo import ZoneInfo

from execlog.cli import units
from execlog.cli.executions import status_cell
from execlog.cli.table import Cell, Column
from execlog.cli.terminal import Terminal, printable
from execlog.core.clock import iso, moment, parse_when
from execlog.core.model import Execution
from execlog.kinds.jobs import Call, Command, Cron, Fetch
from execlog.kinds.jobs.desk import JobView
from execlog.kinds.jobs.wording import is_late, trigger_text
from execlog.runner.triggers import after

FIELDS = ("id", "name", "state", "trigger", "next_run_at", "last_run_at", "last_status", "skipped", "stocks", "run")
_LABEL = 14
_INSTANTS = 5
_SHOWN = 5


def columns(
    terminal: Terminal, now: int, latest: Mapping[str, Execution], waiting: set[str]
) -> Sequence[Column[JobView]]:
    """The columns of a list of jobs; `latest` is the newest execution of each, `waiting` the ids of what waits."""
    return [
        Column("JOB", lambda job: Cell(job.id, "bold"), least=12),
        Column("NAME", lambda job: Cell(job.name if job.name != job.id else ""), least=12, drop=1),
        Column("STATE", lambda job: _state_cell(job, waiting, now)),
        Column("WHAT", lambda job: Cell(action_text(job)), least=16, drop=2),
        Column("WHEN", lambda job: Cell(trigger_text(job.trigger, units.seconds)), least=12),
        Column("NEXT", lambda job: Cell(when_next(job, now)), right=True),
        Column("LAST", lambda job: _last_cell(latest.get(job.id), terminal)),
        Column("", lambda job: Cell(_last_when(latest.get(job.id), now), "dim"), right=True, drop=1),
    ]


def values(job: JobView, now: int, latest: Mapping[str, Execution], waiting: set[str]) -> list[str]:
    """The values of `FIELDS`; see `columns`."""
    last = latest.get(job.id)
    plain = (
        job.id,
        job.name,
        state(job, waiting, now),
        trigger_text(job.trigger, units.seconds),
        job.next_run_at,
        job.last_run_at,
        last.status.value if last else None,
        job.skipped,
        ",".join(job.stocks),
        action_text(job),
    )
    return ["" if value is None else str(value) for value in plain]


def write_job(terminal: Terminal, job: JobView, now: int, last: Execution | None, waiting: set[str]) -> None:
    """Write everything about a job; see `columns`."""
    terminal.line(f"{terminal.paint(printable(job.id), 'bold')}  {terminal.paint(*_state_cell(job, waiting, now))}")
    for label, value in _facts(job, now, last, waiting, terminal):
        if value:
            terminal.line(f"{terminal.paint(f'{label:<{_LABEL}}', 'dim')}{printable(value)}")


def state(job: JobView, waiting: set[str], now: int) -> str:
    """running, paused, late (due, and nobody has begun it), idle (nothing to come) or scheduled."""
    if not waiting.issuperset(job.running):
        return "running"
    if not job.enabled:
        return "paused"
    if is_late(job, now):
        return "late"
    return "scheduled" if job.next_run_at or job.running else "idle"


def action_text(job: JobView) -> str:
    """What it runs, in a few words."""
    over = f" over {units.things(len(job.stocks), 'stock')}" if job.stocks else ""
    match job.run:
        case Fetch(source=source, start=start, end=end, days=days):
            span = f"{start} to {end or 'today'}" if start else f"last {units.things(days, 'day')}"
            return f"fetch {units.things(len(job.stocks), 'stock')} from {source}, {span}"
        case Call(function=function):
            return f"call {function}{over}"
        case Command(command=command):
            return f"{command if isinstance(command, str) else shlex.join(command)}{over}"


def _facts(
    job: JobView, now: int, last: Execution | None, waiting: set[str], terminal: Terminal
) -> Iterator[tuple[str, str]]:
    yield "name", job.name if job.name != job.id else ""
    yield "for", job.description
    yield "runs", action_text(job)
    yield "stocks", ", ".join(job.stocks)
    yield "when", trigger_text(job.trigger, units.seconds)
    at = parse_when(job.next_run_at, now=None) if job.next_run_at else None
    yield "next", f"{_instant(job, at)} ({_when(job.next_run_at, now)})" if at is not None else ""
    yield "then", ", ".join(_then(job))
    yield (
        "last",
        f"{status_cell(last.status, terminal).text}, {units.age(last.created_at, now)}, {last.id}" if last else "",
    )
    yield "running", _some([one for one in job.running if one not in waiting])
    yield "waiting", _some([one for one in job.running if one in waiting])
    yield "skipped", units.count(job.skipped) if job.skipped else ""
    yield (
        "retries",
        f"{job.retries.limit}, first after {units.seconds(job.retries.backoff)}" if job.retries.limit else "",
    )
    yield "timeout", units.seconds(job.timeout) if job.timeout else ""
    yield "per item", units.seconds(job.seconds_per_item) if job.seconds_per_item else ""
    yield "side by side", f"{job.concurrency} in {job.launcher}" if job.stocks else ""
    yield "overlap", job.overlap
    yield "misfire", f"{job.misfire.policy}, after {units.seconds(job.misfire.grace)}"
    yield "tags", ", ".join(f"{key}={value}" for key, value in job.tags.items())
    yield "version", str(job.version)


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more


def _then(job: JobView) -> Iterator[str]:
    """What follows the next instant: a cron expression is easily taken for another, most of all where clocks change."""
    at = parse_when(job.next_run_at, now=None) if job.next_run_at else None
    for _ in range(_INSTANTS - 1):
        at = after(job.trigger, at) if at is not None and isinstance(job.trigger, Cron) else None
        if at is not None:
            yield _instant(job, at)


def _instant(job: JobView, at: int) -> str:
    """The time on the wall clock that a cron expression is read by, with its offset; in UTC for all others."""
    zone = job.trigger.timezone if isinstance(job.trigger, Cron) else "UTC"
    return (iso(at) or "") if zone == "UTC" else moment(at).astimezone(ZoneInfo(zone)).isoformat()


def _state_cell(job: JobView, waiting: set[str], now: int) -> Cell:
    word = state(job, waiting, now)
    return Cell(word, {"running": "blue", "paused": "yellow", "late": "red", "idle": "dim"}.get(word, ""))


def _last_cell(last: Execution | None, terminal: Terminal) -> Cell:
    return status_cell(last.status, terminal) if last else Cell("")


def _last_when(last: Execution | None, now: int) -> str:
    return units.age(last.created_at, now) if last else ""


def when_next(job: JobView, now: int) -> str:
    """How long until it runs again, "" where nothing is to come."""
    return _when(job.next_run_at, now)


def _when(at: str | None, now: int) -> str:
    return units.age(parse_when(at, now=None), now) if at else ""
