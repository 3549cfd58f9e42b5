"""A window is cut into whole cells and edges: all of it, nothing twice, and few of them."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from execlog.core.rollup import COARSE, DAY, FINE
from execlog.store.sqlite.series import cut

SECOND = 1_000_000
WEEK = 7 * DAY * SECOND
instants = st.integers(-(10**16), 10**16)


@given(instants, st.integers(0, 3 * WEEK), st.sampled_from([COARSE, FINE]))
def test_cells_and_edges_are_the_window(since, length, kept):
    cells, edges = cut((since, since + length), sorted(kept, reverse=True))
    pieces = sorted([window for _, window in cells] + edges)
    pieces = [(begin, end) for begin, end in pieces if begin < end]
    assert sum(end - begin for begin, end in pieces) == length
    assert all(before[1] == after[0] for before, after in itertools.pairwise(pieces))
    for resolution, window in cells:
        assert [at % (resolution * SECOND) for at in window] == [0, 0]
    finest = min(kept) * SECOND
    assert all(-(-begin // finest) * finest + finest > end for begin, end in edges), "a cell would fit in"


def test_a_week_of_a_kind_is_few_cells():
    dice = random.Random(1)
    numbers: list[int] = []
    for _ in range(1_000):
        since = dice.randrange(10**15, 2 * 10**15)
        cells, _ = cut((since, since + WEEK), sorted(FINE, reverse=True))
        numbers.append(sum((end - begin) // (resolution * SECOND) for resolution, (begin, end) in cells))
    assert sum(numbers) / len(numbers) < 30
    assert max(numbers) <= 6 + 2 * (3 + 5 + 5 + 9)
