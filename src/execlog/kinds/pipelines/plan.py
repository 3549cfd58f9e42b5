"""What a backfill is to do, and what earlier executions of it have done."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec
from msgspec import Struct

from execlog.core.errors import ConflictError, InvalidError, NotFoundError
from execlog.core.filter import Filter
from execlog.core.model import OPEN, Execution, Status
from execlog.core.storable import mend_text
from execlog.kinds.pipelines.words import PIPELINE
from execlog.store.base import DETAIL, Store
from execlog.store.pairs import Pair

LAST = "last"
_LISTED = 1_000
_MOST_LINKS = 1_000
_LONGEST_NAME = 100


class Plan(Struct, frozen=True, kw_only=True):
    """Every symbol on every timeframe, over a span of days ("2004-08-19", both included; None: no limit)."""

    name: str
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    start: str | None = None
    end: str | None = None
    features: tuple[str, ...] = ()

    @property
    def pairs(self) -> list[Pair]:
        """The pairs to do, timeframe by timeframe within a symbol."""
        return [Pair(symbol, timeframe) for symbol in self.symbols for timeframe in self.timeframes]

    @property
    def params(self) -> dict[str, Any]:
        """What is recorded of the plan: all of it, but only the number of symbols where they are many."""
        return {
            "symbols": list(self.symbols) if len(self.symbols) <= _LISTED else len(self.symbols),
            "timeframes": list(self.timeframes),
            "start": self.start,
            "end": self.end,
            "features": list(self.features),
            "plan": hashlib.blake2s(msgspec.json.encode(self), digest_size=8).hexdigest(),
        }


class Before(Struct, frozen=True):
    """What an execution goes on from: the one before it, the first of them all, and the pairs that are done."""

    retry_of: str | None = None
    root_id: str | None = None
    done: frozenset[str] = frozenset()


def make_plan(
    name: str,
    symbols: Sequence[str],
    timeframes: Sequence[str],
    start: date | str | None,
    end: date | str | None,
    features: Sequence[str],
) -> Plan:
    """The plan, each symbol and timeframe once. Raises InvalidError for one that cannot be."""
    for field, names in (("symbols", symbols), ("timeframes", timeframes)):
        if isinstance(names, str):  # whose letters would be taken for names
            raise InvalidError(f"{field} must be a list, such as [{names!r:.60}]", field=field)
    start, end = _day(start, "start"), _day(end, "end")
    for timeframe in timeframes:
        if "/" in timeframe:
            raise InvalidError(f"{timeframe!r:.60} is not a timeframe, such as 1d", field="timeframes")
        _check_name(timeframe, "timeframes")
    for symbol in symbols:
        _check_name(symbol, "symbols")
    if start is not None and end is not None and start > end:
        raise InvalidError(f"start ({start}) is after end ({end})", field="start")
    return Plan(
        name=name,
        symbols=tuple(dict.fromkeys(symbols)),
        timeframes=tuple(dict.fromkeys(timeframes)),
        start=start,
        end=end,
        features=tuple(features),
    )


def _check_name(name: str, field: str) -> None:
    """Nothing, if it can be recorded as it is: under another name its pair would not be the one that is monitored."""
    if not name or name != name.strip() or mend_text(name, Counter(), _LONGEST_NAME) != name:
        raise InvalidError(
            f"{name!r:.60} cannot be recorded as it is: 1 to {_LONGEST_NAME} characters, no blanks around them, no NUL "
            "and no lone surrogates",
            field=field,
        )


def _day(day: date | str | None, field: str) -> str | None:
    """The day as its text, such as 2004-08-19, which sorts; raises InvalidError for one written in another way."""
    if day is None:
        return None
    text = str(day)
    try:
        known = date.fromisoformat(text).isoformat() == text
    except ValueError:
        known = False
    if not known:
        raise InvalidError(f"{field}: {text[:60]!r} is not a day; write 2004-08-19", field=field)
    return text


def look_back(store: Store, plan: Plan, resume: str | None) -> Before:
    """What to go on from: nothing, the execution `resume`, or ("last") the newest of this name if it is not complete.

    Raises NotFoundError, ConflictError where that one still runs or was another plan, StoreError.
    """
    if resume is None:
        return Before()
    execution = _newest(store, plan.name) if resume == LAST else _existing(store, resume)
    if execution is None or (resume == LAST and execution.status is Status.SUCCEEDED):
        return Before()
    if execution.status in OPEN:
        raise ConflictError(f"{execution.id} is still {execution.status.value}: it cannot be resumed before it ends")
    if (execution.params or {}).get("plan") != plan.params["plan"]:
        if resume == LAST:
            return Before()
        raise ConflictError(f"{execution.id} had another plan (its params say which): resume it with the same one")
    return Before(execution.id, execution.root_id or execution.id, frozenset(_done(store, execution)))


def _done(store: Store, execution: Execution) -> set[str]:
    """The keys of the pairs that this execution, or one it went on from, did."""
    done: set[str] = set()
    link: str | None = execution.id
    for _ in range(_MOST_LINKS):
        one = store.get(link, kind=PIPELINE) if link is not None else None
        if one is None:
            break
        done |= {item.key for item in one.items if item.status is Status.SUCCEEDED}
        link = one.retry_of
    return done


def _newest(store: Store, name: str) -> Execution | None:
    found = store.find(Filter(kind=PIPELINE, subject=name), limit=1, parts=DETAIL).entries
    return found[0] if found else None


def _existing(store: Store, id_: str) -> Execution:
    execution = store.get(id_, kind=PIPELINE)
    if execution is None:
        raise NotFoundError(f"there is no pipeline execution {id_!r:.120}")
    return execution
