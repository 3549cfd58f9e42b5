"""Numbers for people: durations, ages, local times, counts, sizes and money."""

from __future__ import annotations

from datetime import datetime

from execlog.core.clock import moment, span

_MINUTE, _HOUR, _DAY, _MONTH = 60, 3_600, 86_400, 30 * 86_400
NOTHING = "–"


def seconds(value: float | None) -> str:
    """A duration in the unit that fits, with three figures; beyond a minute in its two largest units."""
    return NOTHING if value is None else span(value)


def age(at: int | None, now: int) -> str:
    """How long ago, in one unit; beyond a month the local date."""
    if at is None:
        return NOTHING
    gone = (now - at) / 1e6
    if gone <= -1:
        return f"in {about(-gone)}"
    if gone < 1:
        return "now"
    return f"{about(gone)} ago" if gone < _MONTH else local(at)[:10]


def about(value: float) -> str:
    """A duration of a second or more in its largest unit, rounded down."""
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if value >= size:
            return f"{int(value // size)} {unit}"
    return f"{int(value)} s"


def local(at: int | None) -> str:
    """The local time, to the second, with its zone."""
    return NOTHING if at is None else _local(at).strftime("%Y-%m-%d %H:%M:%S %Z")


def time_of_day(at: int) -> str:
    """The local time of day, to the second."""
    return _local(at).strftime("%H:%M:%S")


def _local(at: int) -> datetime:
    try:
        return moment(at).astimezone()
    except (OverflowError, ValueError):  # the first and the last day of the calendar have no local time everywhere
        return moment(at)


def count(value: int | None) -> str:
    """A number with its thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def things(number: int, name: str) -> str:
    """So many of a thing: "1 execution", "2,000 executions"."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def size(value: int) -> str:
    """A number of bytes in the unit that fits."""
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - the step of binary units
            return f"{amount:.3g} {unit}" if unit != "B" else f"{value} B"
        amount /= 1024
    return f"{amount:.3g} TiB"


def dollars(nano: int | None) -> str:
    """An amount of 10⁻⁹ US dollars, exactly, with at least two decimals."""
    if nano is None:
        return NOTHING
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), 10**9)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{decimals}"


def percent(value: float) -> str:
    """A share in percent, never rounded up to 100 or down to 0."""
    if 99.9 < value < 100:  # noqa: PLR2004 - what would round to all
        return "99.9 %"
    if 0 < value < 0.1:  # noqa: PLR2004 - what would round to none
        return "0.1 %"
    return f"{value:.1f} %" if value % 1 else f"{value:.0f} %"


def parse_dollars(text: str) -> int:
    """10⁻⁹ US dollars of "0.05" or "$0.05". Raises ValueError."""
    from decimal import Decimal, InvalidOperation

    try:
        return int(Decimal(text.strip().removeprefix("$")) * 10**9)
    except (InvalidOperation, OverflowError) as error:
        raise ValueError(text) from error
