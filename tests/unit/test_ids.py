"""Ids are UUIDv7s that ascend within a maker and never meet."""

import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.core.errors import InvalidError
from execlog.core.ids import IdMaker, check_id, fit_id


def test_an_id_is_a_uuid_of_version_7_with_its_time():
    made = uuid.UUID(IdMaker(now_ns=lambda: 1_763_769_600_123_456_789)())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_763_769_600_123


def test_ids_ascend_however_many_fall_into_a_millisecond():
    maker = IdMaker(now_ns=lambda: 1_763_769_600_123_000_000)
    ids = [maker() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_ascend_when_the_clock_goes_back():
    times = iter([10**18, 10**18 - 5 * 10**9, 10**18 - 4 * 10**9, 10**18 + 10**9] + [10**18 + 2 * 10**9] * 20)
    maker = IdMaker(now_ns=lambda: next(times))
    ids = [maker() for _ in range(4)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 4


def test_ids_of_many_threads_never_meet():
    maker = IdMaker()
    made: list[list[str]] = [[] for _ in range(8)]

    def make(mine: list[str]) -> None:
        mine.extend(maker() for _ in range(20_000))
        assert mine == sorted(mine)

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for mine in made for one in mine}) == 8 * 20_000


def test_two_makers_never_meet():
    one, other = IdMaker(now_ns=lambda: 10**18), IdMaker(now_ns=lambda: 10**18)
    assert not {one() for _ in range(5_000)} & {other() for _ in range(5_000)}


@given(st.text("abcXYZ019-_.:ä日", min_size=1, max_size=100).filter(lambda text: ".." not in text and text != "."))
def test_a_clients_own_id_may_enter(text):
    assert check_id(text) == fit_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "x" * 101, "a/b", "a\\b", "..", "a..b", ".", "a\0", "a\n", "a\x7f", "\u2028", "\ud800", "\x85"]
)
def test_an_id_that_could_escape_is_refused(text):
    with pytest.raises(InvalidError) as refused:
        check_id(text, field="execution_id")
    assert check_id(fit_id(text) or "x")
    assert refused.value.field == "execution_id"


def test_a_routes_own_name_is_no_execution_of_its_family():
    assert check_id("stats", kind="job") == check_id("stats") == "stats"
    with pytest.raises(InvalidError, match="that is a route's name"):
        check_id("stats", kind="workflow")
