"""What a plan is made of, and what cannot be one."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from execlog.core.errors import InvalidError
from execlog.kinds.pipelines.plan import make_plan


def plan_of(**changes):
    said = {"name": "n", "symbols": ["A"], "timeframes": ["1d"], "start": None, "end": None, "features": ["drawdown"]}
    return make_plan(**said | changes)


def test_a_day_may_be_a_date():
    assert plan_of(start=date(2004, 8, 19), end="2004-08-20") == plan_of(start="2004-08-19", end=date(2004, 8, 20))
    assert plan_of(start=date(2004, 8, 19)).start == "2004-08-19"


@pytest.mark.parametrize("field", ["start", "end"])
@pytest.mark.parametrize(
    "day",
    ["", "2004-8-1", "20040801", "08/01/2004", "Aug 1 2004", "2004-02-30", "2004-W31-1", "2004-08-01T00:00:00Z", "now"],
)
def test_a_day_that_would_not_sort_is_refused(field, day):
    with pytest.raises(InvalidError, match="is not a day; write 2004-08-19") as raised:
        plan_of(**{field: day})
    assert raised.value.field == field


def test_an_instant_is_no_day():
    with pytest.raises(InvalidError, match="is not a day"):
        plan_of(start=datetime(2004, 8, 1, tzinfo=UTC))


@pytest.mark.parametrize("field", ["symbols", "timeframes"])
def test_a_text_is_not_taken_for_its_letters(field):
    with pytest.raises(InvalidError, match=rf"{field} must be a list, such as \['AAPL'\]") as raised:
        plan_of(**{field: "AAPL"})
    assert raised.value.field == field


@pytest.mark.parametrize("field", ["symbols", "timeframes"])
@pytest.mark.parametrize("name", ["", "AAPL ", "\tAAPL", "A\0", "\ud800", "A" * 101])
def test_a_name_that_would_be_recorded_as_another_is_refused(field, name):
    with pytest.raises(InvalidError, match="cannot be recorded as it is") as raised:
        plan_of(**{field: [name]})
    assert raised.value.field == field
