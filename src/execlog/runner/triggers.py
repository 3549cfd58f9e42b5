"""When a job is due: pure functions of a trigger and a time. Instants are UTC µs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSimError
from msgspec import Struct, structs

from execlog.core.clock import MAX_AT, MIN_AT, micros, moment
from execlog.core.errors import InvalidError
from execlog.runner.calendars import check_calendar, next_session
from execlog.runner.job import Cron, Interval, Job, Misfire, Once, Session, Trigger
from execlog.runner.wallclock import WallCron

BATCH = 100
"""Most instants of one job that are fired in one go; the others follow in the next."""

COUNTED = 1_000
"""Most dropped instants that are counted one by one."""

LEAST_GRACE = 2.0
"""Seconds that any instant may be late: a scheduler looks only so often, and pauses after an error."""

_SECOND = 1_000_000
_ACCEPTED = (
    "accepted are 5 fields, or 6 with seconds first, as in */5 9-17 * * MON-FRI; a range goes up (SUN-SAT: every day), "
    "and @hourly, @daily, @weekly, @monthly and @yearly"
)
_HORIZON = datetime(9990, 1, 1)  # noqa: DTZ001 - compared with naive and aware alike through its year


def after(trigger: Trigger, at: int) -> int | None:
    """The first instant of the trigger later than `at`; None when there is none any more."""
    match trigger:
        case Cron():
            return _after_cron(trigger.expression, trigger.timezone, at)
        case Interval():
            return _after_interval(trigger, at)
        case Once():
            once = micros(trigger.at)
            return once if once > at else None
        case Session():
            offset = round(trigger.offset * _SECOND)
            found = next_session(trigger.calendar, trigger.at, at - offset)
            return None if found is None else found + offset


def check_trigger(trigger: Trigger) -> None:
    """Nothing, if the trigger can be used. Raises InvalidError naming the field, MissingExtraError for a calendar."""
    if isinstance(trigger, Cron):
        _check_cron(trigger)
    elif isinstance(trigger, Session):
        check_calendar(trigger.calendar)
    else:
        _check_time(trigger)


def anchored(job: Job, now: int) -> Job:
    """The job with the times of its trigger in UTC, an interval's start one interval from `now` where none is said."""
    trigger = job.trigger
    if isinstance(trigger, Once):
        return structs.replace(job, trigger=Once(moment(micros(trigger.at))))
    if isinstance(trigger, Interval):
        start = micros(trigger.start_at) if trigger.start_at else now + round(trigger.seconds * _SECOND)
        return structs.replace(job, trigger=structs.replace(trigger, start_at=moment(start)))
    return job


def with_anchor(job: Job, old: Job) -> Job:
    """The job, with the old one's start where both have the same interval and the new one says no start."""
    new, before = job.trigger, old.trigger
    if not isinstance(new, Interval) or not isinstance(before, Interval) or new.start_at is not None:
        return job
    return structs.replace(job, trigger=before) if new.seconds == before.seconds else job


def due_at(job: Job, instant: int) -> int:
    """When the job's instant may start: `instant` plus its jitter, the same in every process."""
    if not job.jitter:
        return instant
    digest = hashlib.blake2s(f"{job.id}\n{instant}".encode(), digest_size=4).digest()
    return instant + round(int.from_bytes(digest) / 2**32 * job.jitter * _SECOND)


class Plan(Struct, frozen=True):
    """What to do about a due job: the instants to run, how many were dropped, and the first instant not dealt with.

    `caught_up` says that some of the instants are late beyond the grace time, run because the policy is "all".
    """

    instants: tuple[int, ...]
    skipped: int
    next_at: int | None
    last_at: int
    late: bool = False


def plan(job: Job, next_at: int, now: int) -> Plan:
    """What to run of a job whose first instant not dealt with is `next_at` (due by `now`).

    Instants up to `grace` late all run, counted from the end of the jitter, until which any may be put off. Are there
    later ones, then the policy decides: "skip" drops these, "once" makes one run (the latest) of everything due, "all"
    runs them too, BATCH at a time.
    """
    trigger = job.trigger
    if trigger is None:
        return Plan((), 0, None, next_at)
    misfire = job.misfire
    cutoff = now - round((max(misfire.grace, LEAST_GRACE) + job.jitter) * _SECOND)
    if next_at >= cutoff or misfire.policy == "all":
        instants = _due(job, trigger, next_at, now)
        return Plan(instants, 0, after(trigger, instants[-1]), instants[-1], late=next_at < cutoff)
    return _plan_late(job, trigger, misfire, next_at, cutoff, now)


def _plan_late(job: Job, trigger: Trigger, misfire: Misfire, next_at: int, cutoff: int, now: int) -> Plan:
    if misfire.policy == "once":
        last = _latest(trigger, next_at, now - round(job.jitter * _SECOND))
        dropped = _count(trigger, next_at, last)
        return Plan((last,), dropped, after(trigger, last), last)
    first = after(trigger, cutoff - 1)
    dropped = _count(trigger, next_at, cutoff)
    if first is None or due_at(job, first) > now:
        last = _latest(trigger, next_at, cutoff - 1)
        return Plan((), dropped, first, last)
    instants = _due(job, trigger, first, now)
    return Plan(instants, dropped, after(trigger, instants[-1]), instants[-1])


def _due(job: Job, trigger: Trigger, first: int, now: int) -> tuple[int, ...]:
    """The instants from `first` (always taken) on that are due, at most BATCH."""
    instants = [first]
    for instant in _from(trigger, first):
        if len(instants) >= BATCH or due_at(job, instant) > now:
            break
        instants.append(instant)
    return tuple(instants)


def _from(trigger: Trigger, at: int) -> Iterator[int]:
    found = after(trigger, at)
    while found is not None:
        yield found
        found = after(trigger, found)


def _count(trigger: Trigger, first: int, end: int) -> int:
    """How many instants are in [first, end), counted up to COUNTED."""
    if first >= end:
        return 0
    count = 1
    for instant in _from(trigger, first):
        if instant >= end or count >= COUNTED:
            break
        count += 1
    return count


def _latest(trigger: Trigger, first: int, now: int) -> int:
    """The latest instant in [first, now], `first` where there is no later one.

    Looks back in windows that double, so that a gap of years costs no more than a few steps.
    """
    window = _SECOND
    while now - window > first:
        found = after(trigger, now - window)
        if found is not None and found <= now:
            break
        window *= 2
    else:
        found = first
    latest = found
    for instant in _from(trigger, found):
        if instant > now:
            break
        latest = instant
    return latest


def _after_interval(trigger: Interval, at: int) -> int | None:
    step = round(trigger.seconds * _SECOND)
    start = micros(trigger.start_at) if trigger.start_at else 0
    found = start if at < start else start + ((at - start) // step + 1) * step
    return found if found <= MAX_AT else None


@lru_cache(maxsize=4096)
def _after_cron(expression: str, timezone: str, at: int) -> int | None:
    """Kept in a cache, because thousands of jobs share the same few expressions and are asked at the same instants."""
    here = moment(at).astimezone(ZoneInfo(timezone))
    if here.year >= _HORIZON.year:
        return None
    for found in WallCron(expression, here):
        instant = micros(found)
        # A fixed time that DST repeats is one instant, the first; where we begin may lie behind it, in the repetition.
        if instant > at:
            return instant
    return None


def _check_time(trigger: Once | Interval) -> None:
    field, when = ("at", trigger.at) if isinstance(trigger, Once) else ("start_at", trigger.start_at)
    if when is not None and not MIN_AT <= micros(when) <= MAX_AT:
        raise InvalidError(f"{field} is not within the years 1 to 9999 in UTC", field=f"trigger.{field}")


def _check_cron(trigger: Cron) -> None:
    try:
        zone = ZoneInfo(trigger.timezone)
    except (KeyError, OSError, ValueError) as error:
        message = f"{trigger.timezone!r} is not a time zone; write one of the IANA names, e.g. Europe/Berlin"
        raise InvalidError(message, field="trigger.timezone") from error
    try:
        found = next(WallCron(trigger.expression, datetime(2024, 1, 1, tzinfo=zone)), None)
    except (CronSimError, OverflowError, ValueError) as error:
        message = f"{trigger.expression!r} is not a cron expression ({error}); {_ACCEPTED}"
        raise InvalidError(message, field="trigger.expression") from error
    if found is None:
        raise InvalidError(f"{trigger.expression!r} never comes", field="trigger.expression")
