"""How pages say things: durations, counts, money, moments, statuses."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from markupsafe import Markup, escape

from execlog.core.clock import span
from execlog.core.model import Status
from execlog.history.comparison import Difference, apart
from execlog.history.view import ExecutionView, to_json

MOST_CHARACTERS, _CELL = 20_000, 200
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_POWERS = ((1e12, "T"), (1e9, "bn"), (1e6, "M"), (1e3, "k"))
_WORDS = {Status.TIMED_OUT: "timed out"}


def word(status: Status | str) -> str:
    """A status as people say it."""
    return _WORDS.get(Status(status), Status(status).value)


def duration(seconds: float | None) -> str:
    """A duration with the unit that fits: 350 µs, 12 ms, 1.5 s, 3 min 20 s, 2 h 5 min, 4 d 3 h; – for none.

    A record of a moment has no duration to speak of: 0 is none.
    """
    return span(seconds) if seconds else "–"


def called(execution: ExecutionView) -> str:
    """How people call an execution: its name, else its subject, else its id; never something that cannot be seen."""
    return next((text for text in (execution.name, execution.subject) if text and _is_visible(text)), execution.id)


def number(count: float | None) -> str:
    """A count with its thousands apart; – for none."""
    return "–" if count is None else f"{count:,}"


def short(count: float) -> str:
    """A count in at most four digits and a letter: 9999 is 9,999, and 12345 is 12.3k."""
    if count < 10_000:  # noqa: PLR2004 - four digits are short enough
        return f"{count:,}"
    for size, letter in _POWERS:
        if count >= size * 0.9995:
            value = count / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{letter}"  # noqa: PLR2004 - three digits
    return f"{count:,}"


def percent(share: float) -> str:
    """A percentage; 100 and 0 only where they are exact."""
    if 99.95 <= share < 100:  # noqa: PLR2004 - percent
        return "99.9 %"
    return f"{share:.1f} %" if 0 < share < 100 else f"{share:.0f} %"  # noqa: PLR2004 - percent


def money(dollars: Decimal | None) -> str:
    """US dollars, exactly; – for none."""
    if dollars is None:
        return "–"
    text = f"{dollars:,f}"
    whole, _, cents = text.partition(".")
    return f"${whole}.{cents:0<2}"


def about(dollars: Decimal) -> str:
    """US dollars, in two digits after the point or in three that count."""
    return f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.3g}" if dollars >= Decimal("0.0001") else "< $0.0001"


def stamp(moment: datetime | None) -> str:
    """A moment as 2026-01-31 06:00:05, UTC; – for none."""
    return "–" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def iso(moment: datetime) -> str:
    """A moment for machines."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(moment: datetime, now: datetime) -> str:
    """How far away a moment is, roughly: 12 s ago, 3 min ago, in 5 h, in 2 d; its date when that is very far."""
    seconds = (now - moment).total_seconds()
    for size, unit in ((_MINUTE, "s"), (_HOUR, "min"), (_DAY, "h"), (30 * _DAY, "d")):
        if abs(seconds) < size:
            step = {"s": 1, "min": _MINUTE, "h": _HOUR, "d": _DAY}[unit]
            said = f"{int(abs(seconds) // step)} {unit}"
            return f"{said} ago" if seconds >= 0 else f"in {said}"
    return f"{moment:%Y-%m-%d}"


def pretty(value: Any) -> str:
    """A text as it is, any other value as indented JSON; cut where it is very long."""
    text = value if isinstance(value, str) else msgspec.json.format(to_json(value), indent=2).decode()
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}\n… {len(text):,} characters in all"


def parted(difference: Difference) -> tuple[str, str]:
    """What a value was and is, each as one line of JSON, cut where it is long; – for none."""
    texts = ("–" if value is None else to_json(value).decode() for value in (difference.before, difference.after))
    before, after = (text if len(text) <= _CELL else f"{text[:_CELL]}…" for text in apart(*texts))
    return before, after


def coded(text: str) -> Markup:
    """A text with what stands between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _is_visible(text: str) -> bool:
    return any(letter.isprintable() and not letter.isspace() for letter in text)
