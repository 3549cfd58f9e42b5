"""What a job is: what to run, over which stocks, when, and what to do when it goes wrong.

Durations are seconds; moments are ISO 8601 in JSON and aware datetimes here (a naive one is read as UTC).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Overlap = Literal["skip", "queue", "allow"]
"""What becomes of an instant while the execution before is still going: dropped, kept waiting, or run beside it."""

MisfirePolicy = Literal["skip", "once", "all"]
LauncherName = Literal["threads", "processes"]

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=31_536_000)]
Stock = Annotated[str, Meta(min_length=1, max_length=100)]
MAX_STOCKS = 10_000
FETCH_TIMEOUT = 300.0
"""Seconds for a fetch without a limit of its own: well beyond what a source allows itself, which says more of it."""


class Cron(Struct, frozen=True, tag="cron", forbid_unknown_fields=True):
    """At the times of a cron expression (5 fields, 6 with seconds first, or @daily) on the wall clock of a time zone.

    As in Debian's cron: a time that a DST change skips runs right after the gap, one that it repeats runs once.
    """

    expression: Annotated[str, Meta(min_length=1, max_length=200)]
    timezone: Annotated[str, Meta(min_length=1, max_length=64)] = "UTC"


class Interval(Struct, frozen=True, tag="interval", forbid_unknown_fields=True):
    """Every so many seconds from `start_at` on; without one, the first time is one interval after the job was made."""

    seconds: Annotated[float, Meta(ge=0.01, le=31_536_000)]
    start_at: datetime | None = None


class Once(Struct, frozen=True, tag="once", forbid_unknown_fields=True):
    """At one moment."""

    at: datetime


class Session(Struct, frozen=True, tag="session", forbid_unknown_fields=True):
    """At every session of an exchange: `offset` seconds after (negative: before) its open or close.

    `calendar` is a name of exchange_calendars, e.g. XNYS; holidays, half days and DST are its business.
    """

    calendar: Annotated[str, Meta(min_length=1, max_length=40)]
    at: Literal["open", "close"] = "close"
    offset: Annotated[float, Meta(ge=-43_200, le=43_200)] = 0.0


Trigger = Cron | Interval | Once | Session


class Fetch(Struct, frozen=True, tag="fetch", forbid_unknown_fields=True):
    """Fetch the prices of each stock from a named source into the table `prices`.

    `start` and `end` are days, both included; without `start` the last `days` days up to `end` (today).
    """

    source: Annotated[str, Meta(min_length=1, max_length=100)] = "sample"
    start: Annotated[str, Meta(max_length=10)] | None = None
    end: Annotated[str, Meta(max_length=10)] | None = None
    days: Annotated[int, Meta(ge=1, le=36_600)] = 30


class Call(Struct, frozen=True, tag="call", forbid_unknown_fields=True):
    """Call the function "package.module:function": with each stock first, or once where there are no stocks."""

    function: Annotated[str, Meta(min_length=3, max_length=300)]
    args: dict[str, Any] = {}


class Command(Struct, frozen=True, tag="command", forbid_unknown_fields=True):
    """Run a command: a text goes through the shell, a list is run as it is.

    It sees EXECLOG_JOB_ID, EXECLOG_EXECUTION_ID and, where the job has stocks (one run each), EXECLOG_ITEM.
    """

    command: (
        Annotated[str, Meta(min_length=1, max_length=20_000)]
        | Annotated[tuple[str, ...], Meta(min_length=1, max_length=1_000)]
    )
    cwd: str | None = None
    env: dict[str, str] = {}


Action = Fetch | Call | Command


class Retries(Struct, frozen=True, forbid_unknown_fields=True):
    """How often, and after what pause, what did not succeed is tried again, each time as a linked execution.

    The pause before attempt n is `backoff` × `factor`^(n-1) seconds, at most `max_backoff`. With `failed_only` the
    items that succeeded are not run again.
    """

    limit: Annotated[int, Meta(ge=0, le=100)] = 0
    backoff: SecondsOrNone = 30.0
    factor: Annotated[float, Meta(ge=1, le=10)] = 2.0
    max_backoff: Seconds = 3_600.0
    failed_only: bool = True


class Misfire(Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of instants that nobody could run within `grace` seconds: dropped, made one run, or all run.

    The seconds, at least two, are counted from the end of the job's jitter.
    """

    policy: MisfirePolicy = "once"
    grace: SecondsOrNone = 60.0


class Job(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job.

    stocks        what it runs over, one item each; () for a call or command that runs once
    timeout       of a whole execution; None: no limit
    item_timeout  of one item; None: 300 s for a fetch, no limit for others
    concurrency   how many items run side by side
    launcher      where items run: threads of the scheduler's process, or processes of their own (which can be killed)
    jitter        each instant starts up to so many seconds later, the same for one (job, instant) everywhere
    enabled       False: paused; its trigger does nothing, "run now" still works
    """

    id: Annotated[str, Meta(max_length=100)] = ""
    name: Name
    description: Annotated[str, Meta(max_length=2_000)] = ""
    run: Action = Fetch()
    stocks: Annotated[tuple[Stock, ...], Meta(max_length=MAX_STOCKS)] = ()
    trigger: Trigger | None = None
    retries: Retries = Retries()
    timeout: Seconds | None = None
    item_timeout: Seconds | None = None
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 4
    launcher: LauncherName = "threads"
    misfire: Misfire = Misfire()
    overlap: Overlap = "skip"
    jitter: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    enabled: bool = True
    tags: dict[str, str] = {}

    @property
    def seconds_per_item(self) -> float | None:
        """The time-out of one item."""
        if self.item_timeout is None and isinstance(self.run, Fetch):
            return FETCH_TIMEOUT
        return self.item_timeout
