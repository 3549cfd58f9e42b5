"""Sketches at rest: text that a statement can append to without reading it.

`<compact>+<pairs>`: the compact part is `Sketch.encode()` in base64, what was counted since follows as two characters a
duration, its bin. Appending two characters is all that counting a duration costs; what grows long is made compact.
"""

from __future__ import annotations

from array import array
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable

from execlog.core.errors import CodecError
from execlog.core.rollup import Sketch

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PAIRS = tuple(high + low for high in DIGITS for low in DIGITS)
_BINS = {array("H", pair.encode())[0]: number for number, pair in enumerate(PAIRS)}
_LAST = len(PAIRS) - 1


def appended(bins: Iterable[int]) -> str:
    """The text that adds these bins to a sketch at rest, or is one where there is none yet."""
    return "+" + "".join([PAIRS[min(_LAST, number)] for number in bins])


def compact(sketch: Sketch) -> str:
    """The shortest text of a sketch."""
    return urlsafe_b64encode(sketch.encode()).decode() + "+"


def take_in(sketch: Sketch, texts: str) -> None:
    """Merge sketches at rest, with spaces between them, into another. Raises CodecError for text that is none."""
    counted: list[str] = []
    for text in texts.split():
        encoded, mark, pairs = text.partition("+")
        if not mark:
            raise CodecError(f"not a sketch: {text[:40]!r}")
        if encoded:
            sketch.merge(urlsafe_b64decode(encoded))
        counted.append(pairs)
    together = "".join(counted)
    bins = sketch.bins
    try:
        for pair, times in Counter(array("H", together.encode())).items():
            number = _BINS[pair]
            bins[number] = bins.get(number, 0) + times
    except (KeyError, ValueError) as error:
        raise CodecError(f"not a sketch: {together[:40]!r}") from error
