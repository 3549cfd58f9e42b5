"""Which differences from the last good run tell something, and which there are from run to run anyway."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from execlog.core.model import Execution
from execlog.history.comparison import Difference, by_name, differences, facts

_EACH_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-f]{32,64}")
_REVISION = "context.revision"
"""New code is a suspect, however often it comes."""
_FAR = 2.0


class Change(Difference, frozen=True):
    """A difference, and how it stands in the runs before.

    in_failures    in how many of the runs that failed so, this one included, it was as here
    in_successes   in how many of the good runs that were looked at it was as here
    telling        it was never so in a good run, was so in all failures since, and does not differ from run to run
    """

    in_failures: int
    in_successes: int
    telling: bool


def changes(
    execution: Execution, good: Sequence[Execution], streak: Sequence[Execution], alike: Sequence[Execution]
) -> list[Change]:
    """What differs from the newest good run, the telling first.

    `good`, `streak` (failed since) and `alike` (failed in the same way) newest first, at most 20 of each.
    """
    if not good:
        return []
    fine, since, like = ([facts(one) for one in some] for some in (good, streak, [execution, *alike]))
    found: list[Change] = []
    for one in differences(good[0], execution):
        values = [_at(each, one.path) for each in fine]
        bad = [one.after, *(_at(each, one.path) for each in since)]
        telling = not any(value in values for value in bad) and not _varies(one, values)
        found.append(
            Change(
                one.path,
                one.before,
                one.after,
                sum(_at(each, one.path) == one.after for each in like),
                values.count(one.after),
                telling,
            )
        )
    return sorted(found, key=lambda one: (not one.telling, -one.in_failures))


def _varies(one: Difference, values: Sequence[Any]) -> bool:
    """Whether it differs from run to run (values of good runs, newest first); a number far outside of them does not."""
    if one.path == _REVISION:
        return False
    if one.after is None and one.path.startswith("metadata."):
        return True  # it was not said yet
    if len(values) == 1 or not any(value != other for value, other in pairwise(values)):
        return all(isinstance(value, str) and _EACH_TIME.fullmatch(value) for value in (one.before, one.after))
    return _restless(values) and not _is_far(one.after, values)


def _is_far(value: Any, values: Sequence[Any]) -> bool:
    numbers = [float(one) for one in (value, *values) if isinstance(one, int | float)]
    if len(numbers) <= len(values):
        return False
    here, *known = numbers
    return here > _FAR * max(known) or _FAR * here < min(known)


def _restless(values: Sequence[Any]) -> bool:
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    return 2 * len(distinct) > len(values) + 1


def _at(facts: dict[str, Any], path: str) -> Any:
    """What a run has where a path leads, None where nothing is."""
    part, _, rest = path.partition(".")
    return _within(facts.get(part), rest)


def _within(value: Any, path: str) -> Any:
    if not path:
        return value
    value = by_name(value)
    if not isinstance(value, dict):
        return None
    entries = cast("dict[str, Any]", value)
    # A key may have dots in it.
    ends = [place for place, sign in enumerate(path) if sign == "."]
    found = (_within(entries[path[:end]], path[end + 1 :]) for end in (*ends, len(path)) if path[:end] in entries)
    return next((one for one in found if one is not None), None)
