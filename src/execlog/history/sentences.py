"""An explanation in plain sentences, the most telling first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from execlog.core.clock import span
from execlog.core.model import UNSUCCESSFUL, Execution, Item
from execlog.history.comparison import apart
from execlog.history.findings import Explanation, ItemTrouble
from execlog.history.kin import LOOK_BACK, Kin, is_failed
from execlog.history.reason import reason
from execlog.history.usual import Unusual
from execlog.history.view import ErrorView, ExecutionView, time

DAYS = 30
"""How far back the same error is looked for elsewhere."""
_FEW, _CUT = 5, 60
_ENOUGH = 2


def in_words(execution: Execution, found: Explanation, kin: Kin, when: str | None) -> Iterator[str]:
    """The explanation in plain sentences; `when` is when those that failed so began."""
    if execution.error is not None and found.error is not None:
        yield _in_one(found.error)
        if execution.counts.failed:
            yield f"{_of_items(execution, found)}."
    elif execution.counts.failed:
        yield from _first_items(execution, found)
    elif found.error is not None:
        yield reason(found.error)
    if execution.status in UNSUCCESSFUL:
        yield from _around(execution, found, kin)
        if when is not None:
            yield f"All {found.failures} that failed so began {when}; those that went well hardly ever did."
    yield from map(_out_of_the_usual, found.unusual)
    if execution.status in UNSUCCESSFUL or found.unusual:
        yield from _changes(found)


def _around(execution: Execution, found: Explanation, kin: Kin) -> Iterator[str]:
    """What was before it, what came after it, and what is like it."""
    if found.inside is not None:
        yield _inside(found.inside.count, found.inside.first)
    if found.recovered is not None:
        chain = {execution.id, execution.root_id} - {None}
        retry = found.recovered.retry_of in chain or found.recovered.root_id in chain
        gone = _between(found.recovered.created_at, execution)
        yield f"{'A retry of it succeeded' if retry else 'It has succeeded again'}, {gone} later."
    if found.occurrences is not None:
        yield _elsewhere(execution, found.occurrences.count - 1, found.occurrences.subjects)
    if found.last_success is not None:
        yield _since(execution, found, found.last_success)
        recent = kin.recent
        failed = sum(one.status in UNSUCCESSFUL for one in recent)
        if not found.failures_since and failed and len(recent) > _ENOUGH:
            alike = len({one.key for one in recent} & {one.key for one in kin.alike})
            so = "all" if alike == failed else alike or "none"
            yield f"It fails now and then: {failed} of the {len(recent)} before it failed, {so} of them so."
    elif execution.subject:
        tried = len(kin.failed)
        before = (
            f"; {'at least ' if tried == LOOK_BACK else ''}{_runs(tried)} before it did not, either" if tried else ""
        )
        yield f"{execution.subject} has not succeeded before, as far as is known{before}."


def _in_one(error: ErrorView) -> str:
    return error.message if error.message == error.type else f"{error.type}: {error.message}"


def _of_items(execution: Execution, found: Explanation) -> str:
    """How many items failed, and which: those that are new to failing first."""
    groups: dict[str, list[str]] = {}
    known = any(one.seen_before for one in found.items)
    for one in found.items:
        groups.setdefault(_before(one) if known else "", []).append(one.key)
    said = "; ".join(f"{_names(keys)}{history}" for history, keys in groups.items())
    return f"{execution.counts.failed:,} of {execution.counts.total:,} items failed" + (f": {said}" if said else "")


def _before(one: ItemTrouble) -> str:
    """How an item fared before."""
    if not one.seen_before:
        return " (new)"
    if not one.failed_before:
        return " for the first time"
    if one.failed_before == one.seen_before:
        return " as every time before"
    if one.in_a_row:
        return f" for the {_ordinal(one.in_a_row + 1)} time in a row"
    return f" as in {one.failed_before} of the {one.seen_before} before"


def _first_items(execution: Execution, found: Explanation) -> Iterator[str]:
    """Which items failed, and why the first of them did, which the others may come of."""
    failed = [item for item in execution.items if is_failed(item) and item.error is not None]
    which = _of_items(execution, found)
    if not failed or execution.counts.failed == 1:
        yield f"{which}: {reason(failed[0].error)}" if failed else f"{which}."
        return
    yield f"{which}."
    first = min(failed, key=_ended)
    shapes = {item.error.fingerprint for item in failed if item.error}
    more = f", and {len(shapes) - 1} other {'error' if len(shapes) == _ENOUGH else 'errors'}" if len(shapes) > 1 else ""
    yield f"The first to fail was {first.key}: {reason(first.error)}{more}."


def _ended(item: Item) -> tuple[int, int]:
    return item.ended_at or item.at, item.position


def _inside(count: int, first: ExecutionView) -> str:
    called = first.name or first.subject or first.id
    why = f": {reason(first.error)}" if first.error else ""
    if count == 1:
        return f"{called}, inside it, failed{why}."
    return f"{count} executions inside it failed, {called} first{why}."


def _elsewhere(execution: Execution, others: int, subjects: Sequence[str]) -> str:
    if not others:
        return f"This error came for the first time in {DAYS} days."
    elsewhere = [subject for subject in subjects if subject != execution.subject]
    also = f", also in {_names(elsewhere)}" if elsewhere else ""
    return f"The same error came {others} more {'time' if others == 1 else 'times'} in the last {DAYS} days{also}."


def _since(execution: Execution, found: Explanation, success: ExecutionView) -> str:
    gone = _between(success.created_at, execution)
    if not found.failures_since:
        return f"The one before it, {gone} earlier, succeeded."
    first = "" if found.failing_since is None else f", since {found.failing_since:%Y-%m-%d %H:%M} UTC"
    nth = _ordinal(found.failures_since + 1)
    return f"It is the {nth} failure in a row{first}; the last success was {gone} earlier."


def _changes(found: Explanation) -> Iterator[str]:
    """What is new, with how well it tells the runs that failed so from the good ones; and what is different besides."""
    telling = [one for one in found.changed if one.telling]
    if telling:
        names = ", ".join(one.path for one in telling[:_FEW])
        more = f" and {len(telling) - _FEW} more" if len(telling) > _FEW else ""
        yield f"Changed since it last went well: {names}{more}."
    elif found.compared_with is not None:
        yield "Nothing recorded of its parameters and surroundings is new since it last went well."
    if telling and found.failures >= _ENOUGH and found.successes >= _ENOUGH:
        first = telling[0]
        _, here = apart(str(first.before), str(first.after))
        here = here if len(here) <= _CUT else here[:_CUT] + "…"
        yield (
            f"{first.path} was {here} in {_all(first.in_failures, found.failures)} that failed so, "
            f"and in none of the last {found.successes} that went well."
        )
    others = [one.path for one in found.changed if not one.telling]
    if others:
        yield f"Different too, but so in good runs or from run to run: {_names(others)}."


def _all(some: int, number: int) -> str:
    return f"all {number}" if some == number else f"{some} of the {number}"


def _out_of_the_usual(one: Unusual) -> str:
    name = one.name.replace("_", " ").replace("tokens input", "tokens in").replace("tokens output", "tokens out")
    value, usual, low, high = (_figure(one.name, number) for number in (one.value, one.usual, one.low, one.high))
    between = "" if low == high else f" ({low} to {high})"
    return f"Unusual {name}: {value}; the last {one.runs} that went well had {usual}{between}."


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "not known" if name == "cost" else "none"
    if name == "duration":
        return span(value)
    return f"${value:,.6g}" if name == "cost" else f"{value:,.0f}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW:,} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def _runs(number: int) -> str:
    return "the one" if number == 1 else f"the {number}" if number < LOOK_BACK else str(number)


def _between(moment: datetime, execution: Execution) -> str:
    began = time(execution.created_at)
    return span(abs((moment - (began or moment)).total_seconds()))


def _ordinal(number: int) -> str:
    teen = number % 100 in {11, 12, 13}
    return f"{number:,}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
