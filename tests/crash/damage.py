"""Damage done to files: bits that flipped, tails that are gone; all there can be in the long form, else a sample."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from crash.harness import LONG


class Damage(NamedTuple):
    """What is done to a file's bytes. A bit's `place` counts bits, a cut's is the length that is left."""

    what: str
    place: int

    def done_to(self, data: bytes) -> bytes:
        """The bytes afterwards."""
        if self.what == "cut":
            return data[: self.place]
        flipped = bytearray(data)
        flipped[self.place // 8] ^= 1 << self.place % 8
        return bytes(flipped)

    def do(self, path: Path) -> None:
        """Damage the file, in place, as a disk would."""
        data = self.done_to(path.read_bytes())
        with path.open("r+b") as file:
            file.write(data)
            file.truncate(len(data))

    def hits(self, start: int, end: int) -> bool:
        """Whether bytes from `start` up to `end` are not what they were."""
        return self.place < end if self.what == "cut" else start <= self.place // 8 < end


def flips(size: int, sample: int, *, of: range | None = None, most: int | None = None) -> list[Damage]:
    """Every bit of a file of this size (or of that stretch of its bytes), or a sample of so many.

    `most` is the sample of the long form, where all would take days.
    """
    part = of or range(size)
    return [Damage("flip", bit) for bit in _some(range(part.start * 8, part.stop * 8), sample, most)]


def cuts(size: int, sample: int, *, most: int | None = None) -> list[Damage]:
    """Every length the file may be cut to, or a sample of so many; always the shortest and the longest."""
    return [Damage("cut", length) for length in sorted({0, max(size - 1, 0), *_some(range(size), sample, most)})]


def _some(all_of_them: Sequence[int], sample: int, most: int | None) -> Sequence[int]:
    wanted = (most or len(all_of_them)) if LONG else sample
    if len(all_of_them) <= wanted:
        return all_of_them
    return random.Random(len(all_of_them)).sample(all_of_them, wanted)


def each(damages: Iterable[Damage], attempt: Callable[[Damage], None]) -> int:
    """How many damages were tried; the first that ends badly says which one it was."""
    count = 0
    for damage in damages:
        try:
            attempt(damage)
        except BaseException as error:
            error.add_note(f"after: {damage.what} {damage.place}")
            raise
        count += 1
    return count
