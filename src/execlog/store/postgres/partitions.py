"""The months of `executions`: one partition each, made when the first execution of a month arrives."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from execlog.core.clock import micros
from execlog.store.postgres.connection import Session
from execlog.store.sql import queries
from execlog.store.sqlite.rows import WRITTEN

_SQL = queries("postgres", "write")
_COLUMNS = ", ".join("searched" if name == "text_key" else name for name in WRITTEN)
_FIRST_YEAR, _AHEAD = 2000, 62 * 86_400_000_000
"""Months from 2000 to two months ahead have a partition; what lies outside shares one, `executions_other`."""

_DAY = 86_400_000_000


class Months:
    """The partitions that are known to exist, so that a batch need not ask.

    Where `makes` is false none are made: what has no month of its own goes to `executions_other`.
    """

    def __init__(self, *, makes: bool = True) -> None:
        self.makes = makes
        self._known: set[str] = set()

    def make(self, session: Session, created: Iterable[int], *, now: int) -> frozenset[str]:
        """The partitions of these times (UTC µs); those that were missing are made, in the transaction that fills them.

        Tell `know` of them once that is committed.
        """
        wanted: dict[str, tuple[int, int]] = {}
        for day in {at // _DAY for at in created}:
            at = day * _DAY
            if at <= now + _AHEAD and (bounds := month_of(at)):
                wanted[name_of(bounds[0])] = bounds
        missing = wanted.keys() - self._known
        if not missing or not self.makes:
            return frozenset(wanted)
        there = {row[0] for row in session.rows(_SQL["partitions"])}
        for name in sorted(missing - there):
            since, until = wanted[name]
            places = {"name": name, "since": since, "until": until, "columns": _COLUMNS}
            for step in ("make_partition", "take_over_others", "attach_partition"):
                session.run(_SQL[step].format(**places))
        return frozenset(wanted)

    def know(self, names: Iterable[str]) -> None:
        """Remember that these partitions are there."""
        self._known.update(names)

    def forget(self) -> None:
        """Look again: some may be gone."""
        self._known.clear()


def ahead(now: int) -> list[int]:
    """A time (UTC µs) in each of the months that may be made in advance, this one first."""
    return [now + days * _DAY for days in (0, 31, 62)]


def drop_empty(session: Session, *, before: int) -> int:
    """How many partitions went whose month ended before a time (UTC µs) and that hold nothing any more."""
    dropped = 0
    for (name,) in session.rows(_SQL["partitions"]):
        end = _end_of(name)
        if end is not None and end <= before and session.value(_SQL["is_empty"].format(name=name)):
            session.run(_SQL["drop_partition"].format(name=name))
            dropped += 1
    return dropped


def month_of(at: int) -> tuple[int, int] | None:
    """The bounds [since, until) in UTC µs of the month a time lies in; None where no month of its own is made."""
    moment = datetime.fromtimestamp(at // 1_000_000, UTC) if abs(at) < 2**56 else None
    if moment is None or moment.year < _FIRST_YEAR:
        return None
    return micros(datetime(moment.year, moment.month, 1, tzinfo=UTC)), _next_month(moment.year, moment.month)


def name_of(since: int) -> str:
    """The name of the partition of the month that begins then."""
    return f"executions_{datetime.fromtimestamp(since // 1_000_000, UTC):%Y_%m}"


def _end_of(name: str) -> int | None:
    year, _, month = name.rpartition(".")[2].removeprefix("executions_").partition("_")
    return _next_month(int(year), int(month)) if year.isdigit() and month.isdigit() else None


def _next_month(year: int, month: int) -> int:
    return micros(datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))
