"""Functions and loops that are recorded: `track`, `each` and `aeach`."""

from __future__ import annotations

import asyncio
import functools
import json

import pytest

import execlog
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.store.base import WHOLE
from histories import only


class Doubling:
    def __call__(self, number):
        return number * 2


class DoublingLater:
    async def __call__(self, number):
        return number * 2


def test_each_runs_items_side_by_side(ledger):
    results = ledger.each(lambda number: 10 // number, [1, 2, 0, 5], limit=3)
    assert [result.returned for result in results] == [10, 5, None, 2]
    assert isinstance(results[2].error, ZeroDivisionError)
    execution = only(ledger)
    assert [item.key for item in execution.items] == ["1", "2", "0", "5"]
    assert execution.status is Status.PARTIAL


def test_each_refuses_a_coroutine_function_before_anything_is_recorded(ledger):
    async def load(value):
        return value

    for function in (load, DoublingLater(), functools.partial(load)):
        with pytest.raises(TypeError, match="aeach"):
            ledger.each(function, [1, 2])
    assert ledger.flush()
    assert not ledger.store.find(Filter()).entries


def test_aeach_runs_coroutines_side_by_side(ledger):
    async def invert(number: int) -> float:
        await asyncio.sleep(0)
        return 1 / number

    results = asyncio.run(ledger.aeach(invert, [1, 0]))
    assert [result.ok for result in results] == [True, False]
    assert only(ledger).counts.failed == 1


def test_track_records_functions_of_every_kind(ledger):
    execlog.configure(ledger)

    @execlog.track
    def plain(a: int, token: str = "x") -> int:
        return a * 2

    @execlog.track(kind="job", name="later")
    async def later(a: int) -> int:
        return a * 3

    @execlog.track
    def stream(count: int):
        yield from range(count)

    assert plain(4) == 8
    assert asyncio.run(later(2)) == 6
    assert list(stream(2)) == [0, 1]
    assert ledger.flush()
    found = {entry.name.rpartition(".")[2]: entry for entry in ledger.store.find(Filter(), parts=WHOLE).entries}
    assert found["plain"].params == {"a": 4, "token": "[redacted]"}
    assert found["later"].kind == "job"
    assert found["stream"].status is Status.SUCCEEDED


def test_whatever_can_be_called_can_be_tracked(ledger):
    execlog.configure(ledger)
    assert execlog.track("load")(lambda number: number)(1) == 1
    assert execlog.track("load", kind="job")(lambda number: number)(1) == 1
    assert execlog.track(functools.partial(max, 3))(4) == 4
    assert execlog.track(Doubling())(5) == 10
    assert execlog.track(max)(1, 2) == 2
    assert execlog.track(str.upper)("a") == "A"
    assert execlog.track("a".join)("bc") == "bac"
    assert asyncio.run(execlog.track(DoublingLater())(6)) == 12
    with pytest.raises(TypeError, match="a function or a name"):
        execlog.track(5)
    assert ledger.flush()
    names = [(one.kind, one.name, one.status) for one in ledger.store.find(Filter()).entries]
    assert names == [
        ("task", f"{__name__}.DoublingLater", "succeeded"),
        ("task", "builtins.str.join", "succeeded"),
        ("task", "builtins.str.upper", "succeeded"),
        ("task", "builtins.max", "succeeded"),
        ("task", f"{__name__}.Doubling", "succeeded"),
        ("task", "builtins.max", "succeeded"),
        ("job", "load", "succeeded"),
        ("task", "load", "succeeded"),
    ]


@pytest.mark.parametrize("limit", [0, -1, None, "2", 1.5])
def test_a_limit_that_is_none_is_the_callers_to_mend(ledger, limit):
    async def later(value):
        return value

    with pytest.raises(ValueError, match="limit must be a whole number"):
        ledger.each(str, [1], limit=limit)
    with pytest.raises(ValueError, match="limit must be a whole number"):
        asyncio.run(ledger.aeach(later, [1], limit=limit))


def test_a_static_method_stays_one(ledger):
    execlog.configure(ledger)

    class Tables:
        @execlog.track(name="double")
        @staticmethod
        def double(number: int) -> int:
            return number * 2

        @execlog.track(name="later")
        @staticmethod
        async def later(number: int) -> int:
            raise ValueError(number)

    assert (Tables().double(2), Tables.double(3)) == (4, 6)
    with pytest.raises(ValueError, match="5"):
        asyncio.run(Tables().later(5))
    assert ledger.flush()
    found = [(one.name, one.status, one.params) for one in ledger.store.find(Filter(), parts=WHOLE).entries]
    assert found == [
        ("later", "failed", {"number": 5}),
        ("double", "succeeded", {"number": 3}),
        ("double", "succeeded", {"number": 2}),
    ]


def test_class_methods_are_tracked_from_above_and_from_below(ledger):
    execlog.configure(ledger)

    class Tables:
        @execlog.track("above")
        @classmethod
        def above(cls, number: int) -> str:
            return f"{cls.__name__} {number}"

        @classmethod
        @execlog.track("below")
        def below(cls, number: int) -> str:
            return f"{cls.__name__} {number}"

    class Others(Tables):
        pass

    assert (Tables.above(1), Others().above(2), Others.below(3)) == ("Tables 1", "Others 2", "Others 3")
    assert ledger.flush()
    found = [(one.name, one.params) for one in ledger.store.find(Filter(), parts=WHOLE).entries]
    assert found == [("below", {"number": 3}), ("above", {"number": 2}), ("above", {"number": 1})]


def test_methods_of_built_in_types_run_over_items(ledger):
    assert [result.returned for result in ledger.each(str.upper, "ab")] == ["A", "B"]
    assert only(ledger).name == "builtins.str.upper"


def broken(*_: object) -> None:
    raise ValueError("broken")


async def broken_later(*_: object) -> None:
    broken()


def broken_stream():
    yield 1
    broken()


async def broken_stream_later():
    yield 1
    broken()


async def read(stream) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (broken, lambda tracked: tracked()),
        (broken_later, lambda tracked: asyncio.run(tracked())),
        (broken_stream, lambda tracked: list(tracked())),
        (broken_stream_later, lambda tracked: asyncio.run(read(tracked()))),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_error_has_the_user_s_frames_alone(ledger, function, call):
    execlog.configure(ledger)
    with pytest.raises(ValueError, match="broken"):
        call(execlog.track(function))
    error = only(ledger).error
    assert error is not None
    assert {frame.rpartition(" ")[2] for frame in error.frames} == {"broken", function.__name__}


def test_an_error_of_a_library_has_no_frame_of_who_records(ledger):
    execlog.configure(ledger)
    with pytest.raises(json.JSONDecodeError):
        execlog.track(json.loads)("{")
    error = only(ledger).error
    assert error is not None
    assert len(error.frames) > 1
    assert all("json" in frame for frame in error.frames)


def test_an_item_s_error_has_the_user_s_frames_alone(ledger):
    ledger.each(broken, [1])
    (item,) = only(ledger).items
    assert item.error is not None
    assert [frame.rpartition(" ")[2] for frame in item.error.frames] == ["broken"]
