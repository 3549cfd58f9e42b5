"""Buckets are the same in any split, and sketches tell durations within 1 %."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execlog.core import rollup
from execlog.core.errors import CodecError
from execlog.core.fold import begin
from execlog.core.model import Event, Status, Usage
from execlog.core.rollup import ALPHA, Bucket, Sketch, bin_of, merge, quantiles, value_of
from execlog.testing.making import events

executions = events().map(begin)


@settings(max_examples=50, deadline=None)
@given(st.lists(executions, max_size=20), st.integers(0, 20))
def test_buckets_are_the_same_in_any_split(told, cut):
    whole = rollup.gather(told)
    parts = [rollup.gather(told[:cut]), rollup.gather(told[cut:])]
    assert whole.keys() == parts[0].keys() | parts[1].keys()
    for cell, bucket in whole.items():
        assert merge(part[cell] for part in parts if cell in part) == bucket


@settings(max_examples=50, deadline=None)
@given(st.lists(executions, max_size=20), st.randoms(use_true_random=False))
def test_buckets_are_the_same_in_any_order(told, dice):
    shuffled = dice.sample(told, len(told))
    assert rollup.gather(shuffled) == rollup.gather(told)


@settings(max_examples=50, deadline=None)
@given(st.lists(executions, max_size=20))
def test_finer_cells_add_up_to_coarser_ones(told):
    cells = rollup.gather(told)
    for cell, bucket in cells.items():
        step = rollup.finer_than(cell.resolution, cell.series)
        if step is not None:
            end = cell.start + cell.resolution * 1_000_000
            inside = [
                other
                for finer, other in cells.items()
                if finer.series == cell.series and finer.resolution == step and cell.start <= finer.start < end
            ]
            assert merge(inside) == bucket


def test_only_what_ended_counts():
    assert rollup.gather([begin(Event(id="a", kind="job", at=1, status=Status.RUNNING))]) == {}


@given(st.floats(1e-5, 1e9))
def test_a_bin_stands_for_its_durations_within_alpha(seconds):
    assert abs(value_of(bin_of(seconds)) - seconds) <= ALPHA * seconds * (1 + 1e-9)


DISTRIBUTIONS = {
    "lognormal": lambda dice: dice.lognormvariate(0, 2),
    "pareto": lambda dice: dice.paretovariate(1.1),
    "uniform": lambda dice: dice.uniform(0.001, 100),
    "two peaks": lambda dice: dice.gauss(0.02, 0.001) if dice.random() < 0.7 else dice.gauss(300, 20),
    "constant": lambda dice: 1.5,
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("parts", [1, 60])
def test_quantiles_are_within_one_percent(name, parts):
    dice = random.Random(name)
    durations = sorted(abs(DISTRIBUTIONS[name](dice)) + 1e-5 for _ in range(20_000))
    encoded: list[Bucket] = []
    for part in range(parts):
        sketch = Sketch()
        for seconds in durations[part::parts]:
            sketch.add(bin_of(seconds))
        encoded.append(Bucket(sketch=sketch.encode()))
    found = quantiles(merge(encoded), 0.5, 0.95, 0.99)
    for share, got in zip((0.5, 0.95, 0.99), found, strict=True):
        exact = durations[math.ceil(share * len(durations) - 1e-6) - 1]
        assert abs(got - exact) <= 0.01 * exact


@given(st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=40), st.sampled_from([0.0, 0.07, 0.5, 0.95, 0.99, 1.0]))
def test_as_many_as_a_quantile_says_are_within_it(durations, share):
    sketch = Sketch()
    for seconds in durations:
        sketch.add(bin_of(seconds))
    [found] = sketch.quantiles(share)
    within = sum(seconds <= found * (1 + 2.1 * ALPHA) for seconds in durations)
    assert within >= share * len(durations) - 1e-6
    assert any(abs(seconds - found) <= ALPHA * seconds * (1 + 1e-9) for seconds in durations)


def test_one_of_four_is_not_left_out_of_95_percent():
    sketch = Sketch()
    for seconds in (0.0125, 0.0126, 0.0127, 0.246):
        sketch.add(bin_of(seconds))
    assert sketch.quantiles(0.5, 0.75, 0.95) == [value_of(bin_of(each)) for each in (0.0126, 0.0127, 0.246)]


def test_the_quantiles_of_nothing_are_unknown():
    assert quantiles(Bucket(), 0.5, 0.99) == [None, None]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 1_200), st.integers(1, 2**30), max_size=40), max_size=30))
def test_sketches_merge_to_the_sum_of_their_counts(parts):
    merged = Sketch()
    expected: dict[int, int] = {}
    for part in parts:
        merged.merge(Sketch(dict(part)).encode() or b"\0\x80")
        for number, times in part.items():
            expected[number] = expected.get(number, 0) + times
    assert merged.counts() == expected


@st.composite
def ranges(draw):
    """Bins that lie side by side, most of them with a count: what is encoded densely, and what is nearly so."""
    low, width = draw(st.integers(0, 600)), draw(st.integers(1, 80))
    times = draw(st.lists(st.integers(0, draw(st.sampled_from([1, 3, 2**20, 2**21]))), min_size=width, max_size=width))
    return {low + place: each for place, each in enumerate(times) if each}


@settings(max_examples=200, deadline=None)
@given(st.lists(ranges(), max_size=6), st.dictionaries(st.integers(0, 5_000), st.integers(1, 2**21), max_size=4))
def test_merged_in_any_form_they_say_what_their_counts_say(parts, added):
    merged, counts = Sketch(), Counter(added)
    for part in parts:
        merged.merge(Sketch(dict(part)).encode() or b"\0\x80")
        counts.update(part)
    for number, times in added.items():
        merged.add(number, times)
    alike = Sketch(dict(counts))
    shares = (0.0, 0.07, 0.5, 0.95, 1.0)
    for _ in range(2):
        assert merged.quantiles(*shares) == alike.quantiles(*shares)
        assert merged.encode() == alike.encode()
    assert merged.counts() == counts


@pytest.mark.parametrize("bins", [{2**60: 1}, {-5: 1}, {300: -2}, {300: 2**70}])
def test_what_no_sketch_can_have_is_taken_beside_one_that_can(bins):
    """A damaged sketch may say anything: memory and answers stay what they are."""
    merged = Sketch()
    merged.merge(Sketch(dict.fromkeys(range(300, 400), 2)).encode())
    for number, times in bins.items():
        merged.add(number, times)
    assert len(merged.quantiles(0.5, 1.0)) == 2
    assert sum(merged.counts().values()) == 200 + sum(bins.values())


def test_many_dense_sketches_do_not_run_over():
    dense = Sketch(dict.fromkeys(range(500), 2**20 - 1)).encode()
    assert dense[:1] == b"\1"
    merged = Sketch()
    for _ in range(5_000):
        merged.merge(dense)
    assert set(merged.counts().values()) == {5_000 * (2**20 - 1)}


def test_a_sketch_of_an_unknown_format_is_refused():
    with pytest.raises(CodecError):
        Sketch().merge(b"\7abc")


def test_success_rate_over_nothing_is_zero_and_partial_is_no_success():
    assert Bucket().success_rate == 0.0
    assert Bucket().mean_seconds is None
    assert Bucket(succeeded=1, partial=1, failed=2).success_rate == 25.0
    assert Bucket(timed=2, duration_micros=3_000_000).mean_seconds == 1.5


def test_money_is_exact():
    usage = {"model": Usage(cost_nano=1_000_000)}
    made = [
        begin(Event(id=str(number), kind="workflow", at=1, status=Status.SUCCEEDED, usage=usage))
        for number in range(1_000)
    ]
    cells = rollup.gather(made)
    total = merge(bucket for cell, bucket in cells.items() if (cell.series, cell.resolution) == ("all", rollup.DAY))
    assert total.cost_nano == 10**9
