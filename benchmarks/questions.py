"""What is asked of a history, each at the store and over HTTP, about another subject, user, id or week every time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

from generator import DAYS, END, SUBJECTS, USERS
from msgspec import Struct
from msgspec.structs import replace

from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.kinds.pipelines.answers import staleness_of
from execlog.store.base import Store

DAY = 86_400_000_000
TEXTS = ("timeout after", "prices_7", "503 from", "exceeded its budget")
STATUSES = (Status.FAILED, Status.TIMED_OUT, Status.PARTIAL, Status.CRASHED)


class Question(Struct, frozen=True, kw_only=True):
    """One question: how a store is asked, and the path that asks a server the same.

    `limit` and `store_limit` are what its p99 may be over HTTP and at the store, in milliseconds.
    """

    ask: Callable[[Store, random.Random], object]
    path: Callable[[random.Random], str]
    limit: float | None = 15.0
    store_limit: float | None = 5.0


def questions(ids: list[str]) -> dict[str, Question]:
    """The questions by name; `ids` are executions that exist."""
    return {
        "latest of a job": Question(
            ask=lambda store, dice: store.find(job(dice), limit=1),
            path=lambda dice: listed(job(dice), limit=1),
        ),
        "page of 50 by status": Question(
            ask=lambda store, dice: store.find(Filter(statuses=(dice.choice(STATUSES),))),
            path=lambda dice: listed(Filter(statuses=(dice.choice(STATUSES),)), limit=50),
        ),
        "by id": Question(
            ask=lambda store, dice: store.get(dice.choice(ids)),
            path=lambda dice: f"/api/executions/{dice.choice(ids)}",
        ),
        **_weeks(),
        "text of an error": Question(
            ask=lambda store, dice: store.find(Filter(text=dice.choice(TEXTS))),
            path=lambda dice: listed(Filter(text=dice.choice(TEXTS)), limit=50),
            limit=20.0,
        ),
        "staleness of 100,000 pairs": Question(
            ask=lambda store, _: staleness_of(store, time.time_ns() // 1000, limit=50),
            path=lambda _: "/api/v1/admin/features/staleness?limit=50",
        ),
        "latest of 24 subjects": Question(
            ask=lambda store, _: store.latest(Filter(), limit=24),
            path=lambda _: "/api/latest?limit=24",
        ),
        "50 slowest": Question(
            ask=lambda store, _: store.find(Filter(sort="slowest")),
            path=lambda _: listed(Filter(sort="slowest"), limit=50) + "&sort=slowest",
            limit=None,
            store_limit=None,
        ),
        "first page with its count": Question(
            ask=lambda store, _: (store.find(Filter()), store.count(Filter())),
            path=lambda _: listed(Filter(), limit=50) + "&count=true",
        ),
    }


def _weeks() -> dict[str, Question]:
    return {
        "7 days of a subject": Question(
            ask=lambda store, dice: store.stats(week(dice, job(dice))),
            path=lambda dice: counted(week(dice, job(dice))),
        ),
        "7 days of a user": Question(
            ask=lambda store, dice: store.stats(week(dice, user(dice))),
            path=lambda dice: counted(week(dice, user(dice))),
        ),
        "7 days of everything": Question(
            ask=lambda store, dice: store.stats(week(dice, Filter())),
            path=lambda dice: counted(week(dice, Filter())),
        ),
    }


def some_ids(store: Store, number: int = 200) -> list[str]:
    """Ids of executions from all over the history."""
    dice = random.Random(3)
    moments = [END - dice.randrange(round(DAYS * DAY)) for _ in range(number)]
    pages = [store.find(Filter(until=until), limit=1).entries for until in moments]
    return [entry.id for page in pages for entry in page]


def job(dice: random.Random) -> Filter:
    """One of the jobs, the busy ones as often as the others."""
    return Filter(kind="job", namespace="", subject=f"job-{dice.randrange(SUBJECTS):04d}")


def user(dice: random.Random) -> Filter:
    """One of the users."""
    return Filter(actor=f"user-{dice.randrange(USERS):03d}")


def week(dice: random.Random, filter_: Filter) -> Filter:
    """The filter with seven days that begin and end at any microsecond of the history."""
    until = END - dice.randrange(round((DAYS - 7) * DAY))
    return replace(filter_, since=until - 7 * DAY, until=until)


def listed(filter_: Filter, limit: int) -> str:
    """The path that lists what a filter lets through."""
    return f"/api/executions?{urlencode([*_fields(filter_), ('limit', limit)])}"


def counted(filter_: Filter) -> str:
    """The path to the statistics of what a filter lets through."""
    return f"/api/stats?{urlencode(_fields(filter_))}"


def _fields(filter_: Filter) -> list[tuple[str, str]]:
    names = ("kind", "namespace", "subject", "actor", "text")
    said = [(name, value) for name in names if (value := getattr(filter_, name)) is not None]
    said += [("status", status.value) for status in filter_.statuses]
    return said + [(name, _iso(at)) for name in ("since", "until") if (at := getattr(filter_, name)) is not None]


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
