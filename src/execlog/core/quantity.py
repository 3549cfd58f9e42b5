"""Numbers as others write them: a count or a duration of anything, or None where it is none."""

from __future__ import annotations

import math
from typing import Any

MAX_COUNT = 2**63 - 1


def count_of(value: Any) -> int | None:
    """A number of rows that 64 bits hold; None for what is none."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= MAX_COUNT else None


def seconds_of(value: Any) -> float | None:
    """A duration in seconds; None for what is none, or not finite, or below nothing."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
