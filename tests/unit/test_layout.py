"""Records are read the same whether what is kept in them is decoded at once, or out of the whole of them."""

import json

import msgspec
import pytest

from execlog.core.codec import to_json
from execlog.core.errors import InvalidError
from execlog.core.fold import begin
from execlog.core.model import Error, Event, Item, Status
from execlog.store.layout import execution_in, record_in, to_execution, to_record

KINDS = ("job", "workflow", "pipeline", "query", "other")


def record(kind: str) -> str:
    said = Event(
        id="one", kind=kind, namespace="p1", at=7, status=Status.FAILED, subject="daily", started_at=5, duration=1.5,
        error=Error("Timeout", 'after 30 s, »für« \u2028 \\ " /'), params={"a": [1, 2.5, None]}, tags={"a": "b"},
        items=(Item(key="AAPL", at=6, status=Status.FAILED, error=Error("Timeout", "GET /")),),
    )  # fmt: skip
    return to_json(to_record(begin(said))).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_what_the_whole_record_says(kind):
    text = record(kind)
    expected = to_execution(record_in(text), kind, at=1)
    assert expected.error is not None
    assert execution_in(text, kind, at=1) == expected
    assert execution_in(json.dumps(json.loads(text), indent=1), kind, at=1) == expected
    assert execution_in(text.replace('"created_at":5', '"created_at":"5"'), kind, at=1) == expected
    assert execution_in(f'{text[:-1]},"more":NaN}}', kind, at=1) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"execlog":7}', '{"metadata":{"execlog":null}}', "{" * 5000])
def test_what_is_no_record_is_refused_in_the_same_words(kind, text):
    with pytest.raises(InvalidError) as expected:
        to_execution(record_in(text), kind, at=1)
    with pytest.raises(InvalidError) as refused:
        execution_in(text, kind, at=1)
    assert str(refused.value) == str(expected.value)


def test_another_program_s_record_is_read_by_its_family_s_words():
    theirs = {
        "execution_id": "one", "job_id": "daily", "job_name": "Daily", "start_time": "2025-01-01T00:00:00",
        "end_time": None, "status": "success", "fetched_stocks": [], "failed_stocks": [], "errors": [],
        "total_stocks": 0, "duration_seconds": 1.5, "triggered_by": "manual", "metadata": {"a": 1},
    }  # fmt: skip
    text = msgspec.json.encode(theirs).decode()
    assert execution_in(text, "job", at=1) == to_execution(record_in(text), "job", at=1)
