"""Numbers as others write them: a count or a duration of anything, or None where it is none.

What is left out for that is counted in `mended`, as `core.storable` counts, where the caller is to be told.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

MAX_COUNT = 2**63 - 1


def count_of(value: Any, mended: Counter[str] | None = None) -> int | None:
    """A number of rows that 64 bits hold; None for what is none."""
    if value is None:
        return None
    try:
        number = None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is not None and 0 <= number <= MAX_COUNT:
        return number
    _count(mended, "field" if number is None else "out_of_range")
    return None


def seconds_of(value: Any, mended: Counter[str] | None = None) -> float | None:
    """A duration in seconds; None for what is none, or not finite, or below nothing."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        _count(mended, "field")
        return None
    if math.isfinite(seconds) and seconds >= 0:
        return seconds
    _count(mended, "out_of_range" if math.isfinite(seconds) else "not_finite")
    return None


def _count(mended: Counter[str] | None, reason: str) -> None:
    if mended is not None:
        mended[reason] += 1
