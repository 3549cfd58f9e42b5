"""Finding executions: by time, cost, tokens, workflow and text."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import pytest

from execlog.core.errors import InvalidError


def test_filters_by_time_cost_tokens_and_workflow(any_service, record):
    for number in range(10):
        any_service.save_execution(
            "p",
            record(
                number, costUSD=number / 1000, tokenUsage={"input": number, "output": 0}, workflowId=f"w{number % 2}"
            ),
        )

    def ids(**narrow):
        return [entry.id for entry in any_service.list_executions("p", **narrow).executions]

    assert ids(since=datetime(2024, 1, 1, 10, 0, 7, tzinfo=UTC)) == ["exec-9", "exec-8", "exec-7"]
    assert ids(until=datetime(2024, 1, 1, 10, 0, 2)) == ["exec-1", "exec-0"]  # noqa: DTZ001 - naive is UTC
    assert ids(min_cost="0.008") == ["exec-9", "exec-8"]
    assert ids(max_cost=0.001) == ["exec-1", "exec-0"]
    assert ids(max_cost=0, max_tokens=0) == ["exec-0"]
    assert len(ids(min_cost=0, min_tokens=0)) == 10
    any_service.save_execution("p", record(10, costUSD=None, tokenUsage={"input": 5, "output": 0}))
    assert "exec-10" not in ids(max_cost=1000) + ids(min_cost=0), "of what it cost nothing is known"
    assert "exec-10" in ids(min_tokens=5)
    any_service.delete_execution("p", "exec-10")
    assert ids(min_tokens=4, max_tokens=5) == ["exec-5", "exec-4"]
    assert ids(workflow_id="w1", min_cost="0.005") == ["exec-9", "exec-7", "exec-5"]
    assert ids(sort="costliest")[:2] == ["exec-9", "exec-8"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MONTHLY", ["latin"]),
        ("revenü", ["latin"]),
        ("الأسهم", ["arabic"]),
        ("股票价", ["chinese"]),
        ("timeout after 30", ["broken"]),
        ('said "hi"\nand', ["quoted"]),
        ("LEFT\tC:\\temp", ["quoted"]),
        ("naïve 7.5", ["quoted"]),
        ('"answer"', []),
        ("nothing of the kind", []),
    ],
)
def test_full_text_finds_substrings_of_any_script_in_inputs_outputs_and_errors(any_service, record, text, found):
    any_service.save_execution("p", record(1, id="latin", input={"ask": "the monthly Revenü report"}))
    any_service.save_execution("p", record(2, id="arabic", output="تقرير أسعار الأسهم اليومي"))
    any_service.save_execution("p", record(3, id="chinese", output={"text": "今天的股票价格报告"}))
    any_service.save_execution("p", record(4, id="broken", status="failed", error="connection timeout after 30s"))
    said = {"answer": 'He said "hi"\nand left\tC:\\temp', "more": [{"why": "naïve 7.5"}, None, True]}
    any_service.save_execution("p", record(5, id="quoted", output=said))
    page = any_service.list_executions("p", text=text)
    assert [entry.id for entry in page.executions] == found
    assert page.total == len(found)


@pytest.mark.parametrize("day", [date(2024, 1, 2), "2024-01-02", datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00Z"])
def test_a_time_may_be_said_as_python_and_json_have_it(service, record, day):
    for number, started in enumerate(("2024-01-01T23:59:59Z", "2024-01-02T00:00:00Z")):
        service.save_execution("p", record(number, startedAt=started, completedAt=None))
    assert [one.id for one in service.list_executions("p", since=day).executions] == ["exec-1"]
    assert [one.id for one in service.list_executions("p", until=day).executions] == ["exec-0"]
    assert service.get_statistics("p", since=day).total_executions == 1


@pytest.mark.parametrize(
    "narrow",
    [{"since": "yesterday"}, {"until": ""}, {"min_cost": "much"}, {"max_cost": math.nan}, {"min_cost": math.inf}],
)
def test_what_is_no_time_and_no_amount_is_refused(service, narrow):
    with pytest.raises(InvalidError):
        service.list_executions("p", **narrow)
