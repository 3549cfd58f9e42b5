"""The service: what is saved is what is read, in the words of the contract."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from execlog.core.errors import InvalidError, StoreError
from execlog.core.model import Event, Item, Status, Usage
from execlog.kinds.workflows import ExecutionHistoryService, WorkflowExecution
from execlog.kinds.workflows.words import WORDS
from execlog.ledger import Ledger

SUMMARY = {
    "id": "exec-0",
    "projectId": "proj-123",
    "status": "completed",
    "startedAt": "2024-01-01T10:00:00Z",
    "completedAt": "2024-01-01T10:00:00.500000Z",
    "duration": 500,
    "tokenUsage": {"input": 100, "output": 50, "total": 150},
    "costUSD": 0.001,
}


def test_a_saved_execution_is_listed_as_the_contract_shows_it(any_service, record):
    assert any_service.save_execution("proj-123", record())
    page = any_service.list_executions("proj-123")
    assert [entry.to_dict() for entry in page.executions] == [SUMMARY]
    assert page.total == 1


def test_the_full_execution_keeps_everything(any_service, record):
    said = record(
        workflow={"name": "report", "steps": []},
        workflowId="report",
        input={"year": 2004},
        output="done",
        triggeredBy="alice",
        steps=[
            {
                "id": "load",
                "type": "python",
                "status": "completed",
                "startedAt": "2024-01-01T10:00:00Z",
                "duration": 120,
                "output": [1, 2],
            },
            {
                "id": "sum",
                "type": "llm",
                "status": "failed",
                "error": "HTTP 500",
                "model": "gpt-4o",
                "tokenUsage": {"input": 100, "output": 50},
                "costUSD": 0.001,
                "colour": "red",
            },
            {"id": "mail", "status": "skipped"},
        ],
        logs=["begun", {"timestamp": "2024-01-01T10:00:01Z", "level": "warn", "message": "slow", "step": "sum"}],
        shoe_size=43,
    )
    any_service.save_execution("p", said)
    found = any_service.get_execution("p", "exec-0").to_dict()
    assert found["workflow"] == {"name": "report", "steps": []}
    assert (found["input"], found["output"], found["triggeredBy"]) == ({"year": 2004}, "done", "alice")
    assert found["metadata"] == {"shoe_size": 43}
    load, summed, mail = found["steps"]
    assert (load["id"], load["type"], load["duration"], load["output"]) == ("load", "python", 120, [1, 2])
    assert (summed["status"], summed["error"], summed["costUSD"]) == ("failed", "HTTP 500", 0.001)
    assert summed["tokenUsage"] == {"input": 100, "output": 50, "total": 150}
    assert (summed["model"], summed["data"]) == ("gpt-4o", {"colour": "red"})
    assert mail["status"] == "skipped"
    assert {line["message"]: line["level"] for line in found["logs"]} == {"begun": "info", "slow": "warn"}


def test_what_is_read_can_be_saved_again(any_service, record):
    any_service.save_execution(
        "p", record(steps=[{"id": "a", "output": 1, "data": {"x": 1}}], logs=["hello"], input="in")
    )
    first = any_service.get_execution("p", "exec-0")
    any_service.save_execution("p", first)
    any_service.save_execution("p", first.to_dict())
    assert any_service.get_execution("p", "exec-0").to_dict() == first.to_dict()
    assert any_service.list_executions("p").total == 1


def test_saving_again_updates(any_service, record):
    any_service.save_execution("p", {"id": "e", "status": "running", "startedAt": "2024-01-01T10:00:00Z"})
    running = any_service.get_execution("p", "e").to_dict()
    assert running["status"] == "running"
    assert "completedAt" not in running
    assert "duration" not in running
    any_service.save_execution("p", record(id="e", status="failed", error="boom"))
    any_service.save_execution("p", {"id": "e", "status": "running", "startedAt": "2024-01-01T10:00:00Z"})
    page = any_service.list_executions("p")
    assert [(entry.status, entry.error) for entry in page.executions] == [("failed", "boom")]


def test_tokens_and_cost_that_were_not_given_are_the_sums_of_the_steps(any_service):
    steps = [
        {"id": "a", "model": "m1", "tokenUsage": {"input": 10, "output": 1}, "costUSD": 0.1},
        {"id": "b", "model": "m1", "tokenUsage": {"input": 20, "output": 2}, "costUSD": 0.2},
        {"id": "c", "model": "m2", "tokenUsage": {"input": 5, "output": 5}},
        {"id": "d"},
    ]
    any_service.save_execution("p", {"id": "e", "status": "completed", "steps": steps})
    found = any_service.get_execution("p", "e")
    assert found.token_usage.total == 43
    assert found.cost_usd == Decimal("0.3")
    assert found.models["m1"].cost_usd == Decimal("0.3")
    assert (found.models["m2"].total, found.models["m2"].cost_usd) == (10, None)


def test_no_model_call_costs_nothing_and_an_unknown_price_is_not_nothing(any_service):
    any_service.save_execution("p", {"id": "free", "status": "completed"})
    any_service.save_execution("p", {"id": "unknown", "status": "completed", "tokenUsage": {"input": 5, "output": 5}})
    by_id = {entry.id: entry.to_dict() for entry in any_service.list_executions("p").executions}
    assert by_id["free"]["costUSD"] == 0
    assert by_id["unknown"]["costUSD"] is None
    assert by_id["unknown"]["tokenUsage"]["total"] == 10


def test_a_thousand_tenths_of_a_cent_are_one_dollar(any_service, record):
    for number in range(1000):
        any_service.save_execution("p", record(number))
    found = any_service.get_statistics("p")
    assert found.total_cost_usd == Decimal("1.0")
    assert found.to_dict() == {
        "totalExecutions": 1000,
        "completed": 1000,
        "failed": 0,
        "running": 0,
        "totalCostUSD": 1.0,
        "totalTokens": 150_000,
    }


def test_pages_filter_before_they_limit_and_count_exactly(any_service, record):
    for number in range(25):
        any_service.save_execution("p", record(number, status="failed" if number % 5 == 0 else "completed"))
    any_service.save_execution("other", record(3))
    first = any_service.list_executions("p", limit=10)
    assert ([entry.id for entry in first.executions], first.total) == ([f"exec-{n}" for n in range(24, 14, -1)], 25)
    last = any_service.list_executions("p", limit=10, offset=20)
    assert ([entry.id for entry in last.executions], last.total) == ([f"exec-{n}" for n in range(4, -1, -1)], 25)
    failed = any_service.list_executions("p", limit=2, status="failed")
    assert ([entry.id for entry in failed.executions], failed.total) == (["exec-20", "exec-15"], 5)


def test_the_default_page_has_fifty(any_service, record):
    for number in range(60):
        any_service.save_execution("p", record(number))
    page = any_service.list_executions("p")
    assert (len(page.executions), page.total) == (50, 60)


def test_deleting_one_and_all(any_service, record):
    for number in range(3):
        any_service.save_execution("p", record(number))
    any_service.save_execution("q", record(0))
    assert any_service.delete_execution("p", "exec-1")
    assert not any_service.delete_execution("p", "exec-1")
    assert any_service.get_execution("p", "exec-1") is None
    assert any_service.delete_all_executions("p") == 2
    assert any_service.delete_all_executions("p") == 0
    assert any_service.list_executions("q").total == 1


def test_one_deleted_while_it_runs_stays_deleted(any_service, record):
    any_service.save_execution("p", record(id="e", status="running"))
    assert any_service.delete_execution("p", "e")
    any_service.save_execution("p", record(id="e"))
    assert any_service.get_execution("p", "e") is None
    assert any_service.get_statistics("p").total_executions == 0


def test_statistics_count_what_runs_and_what_it_used_so_far(any_service, record):
    any_service.save_execution("p", record(0))
    any_service.save_execution("p", record(1, status="failed"))
    any_service.save_execution("p", record(2, status="cancelled"))
    any_service.save_execution("p", record(3, status="running"))
    any_service.save_execution("p", record(4, status="pending", tokenUsage={"input": 0, "output": 0}, costUSD=0))
    assert any_service.get_statistics("p").to_dict() == {
        "totalExecutions": 5,
        "completed": 1,
        "failed": 1,
        "running": 1,
        "totalCostUSD": 0.004,
        "totalTokens": 600,
    }
    assert any_service.get_statistics("nobody").total_executions == 0


def test_every_canonical_status_has_its_word(any_service):
    for number, status in enumerate(Status):
        ended = None if status in {Status.QUEUED, Status.RUNNING} else 10
        any_service.append(
            Event(
                id=status.value,
                kind="workflow",
                namespace="p",
                at=number + 1,
                status=status,
                started_at=5,
                ended_at=ended,
            )
        )
    shown = {entry.id: entry.status for entry in any_service.list_executions("p").executions}
    assert shown == {status.value: word for status, word in WORDS.items()}
    assert any_service.list_executions("p", status="failed").total == 3
    assert any_service.list_executions("p", status="completed").total == 2
    assert "gone" in any_service.get_execution("p", "crashed").error


def test_steps_left_open_by_a_crash_are_told_as_what_they_are(any_service):
    items = (
        Item(key="a", status=Status.SUCCEEDED, position=0),
        Item(key="b", status=Status.RUNNING, position=1),
        Item(key="c", status=Status.QUEUED, position=2),
    )
    any_service.append(_event("e", 1, status=Status.CRASHED, items=items, ended_at=2))
    steps = any_service.get_execution("p", "e").steps
    assert [step.status for step in steps] == ["completed", "failed", "skipped"]
    assert "gone" in steps[1].error


@pytest.mark.parametrize("bad", ["stats", "", "a/b", "..", "a\\b", "nul\0", "x" * 101])
def test_ids_that_would_escape_are_refused(any_service, record, bad):
    with pytest.raises(InvalidError):
        any_service.save_execution("p", record(id=bad))
    if bad != "stats":
        with pytest.raises(InvalidError):
            any_service.save_execution(bad, record())


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "done"},
        {"status": None},
        {"startedAt": "yesterday"},
        {"costUSD": "cheap"},
        {"costUSD": -1},
        {"tokenUsage": {"input": -5}},
        {"steps": "none"},
        {"steps": [{"status": "completed"}]},
        {"models": [1]},
    ],
)
def test_records_that_cannot_be_are_refused(any_service, record, wrong):
    with pytest.raises(InvalidError):
        any_service.save_execution("p", record(**wrong))


def test_what_is_no_number_is_unknown_and_counted(any_service, record):
    any_service.save_execution("p", record(costUSD=float("nan"), duration=float("inf"), output=float("nan")))
    found = any_service.get_execution("p", "exec-0").to_dict()
    assert (found["costUSD"], found.get("output")) == (None, None)
    assert any_service.recorder.mended["not_finite"] >= 2


def test_naive_times_are_utc(any_service):
    any_service.save_execution("p", {"id": "e", "status": "running", "startedAt": "2024-01-01T10:00:00"})
    assert any_service.get_execution("p", "e").to_dict()["startedAt"] == "2024-01-01T10:00:00Z"


def test_secrets_are_gone_before_anything_is_stored(any_service, record):
    said = record(
        input={"api_key": "sk-123", "ask": "Authorization: Bearer abcdef"},
        workflow={"env": {"PASSWORD": "hunter2"}},
        steps=[{"id": "a", "error": "password=hunter2 was refused", "status": "failed", "output": {"secret": "s3"}}],
    )
    any_service.save_execution("p", said)
    text = str(any_service.find("p", "exec-0"))
    for secret in ("sk-123", "abcdef", "hunter2", "s3'"):
        assert secret not in text


def test_a_save_survives_a_store_that_is_down(tmp_path, record, monkeypatch):
    with Ledger.open("memory://", home=tmp_path) as ledger:
        down = threading.Event()
        down.set()
        apply = ledger.store.apply

        def sometimes(events):
            if down.is_set():
                raise StoreError("the store is down", retry=True)
            return apply(events)

        monkeypatch.setattr(ledger.store, "apply", sometimes)
        service = ExecutionHistoryService(ledger)
        assert service.save_execution("p", record())
        down.clear()
        assert service.list_executions("p").total == 1


def test_cost_by_model(any_service, record):
    usage = {"input": 10, "output": 5}
    models = {"gpt-4o": usage | {"costUSD": 0.5, "cached": 4, "prices": "table 1"}, "local": usage}
    for number in range(3):
        any_service.save_execution("p", record(number, models=models))
    any_service.save_execution("p", record(4, models={}, tokenUsage={"input": 0, "output": 0}))
    from execlog.kinds.workflows.service import filter_of

    found = any_service.models(filter_of("p", min_tokens=0))
    assert found.executions == 3
    assert list(found.models) == ["gpt-4o", "local"]
    assert found.models["gpt-4o"].cost_usd == Decimal("1.5")
    assert (found.models["gpt-4o"].cached, found.models["gpt-4o"].calls) == (12, 3)
    assert found.models["local"].cost_usd is None
    assert found.models["local"].total == 45


def test_many_threads_save_at_once(any_service, record):
    def save(start):
        for number in range(start, start + 50):
            any_service.save_execution("p", record(number))

    threads = [threading.Thread(target=save, args=(start,)) for start in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any_service.list_executions("p").total == 400
    assert any_service.get_statistics("p").total_executions == 400


def test_a_record_of_python_is_saved_like_one_of_json(any_service):
    when = datetime(2024, 1, 1, 10, tzinfo=UTC)
    any_service.save_execution("p", WorkflowExecution(id="e", status="completed", started_at=when, duration=1500.0))
    found = any_service.get_execution("p", "e")
    assert (found.duration, found.completed_at.second) == (1500, 1)


def test_usage_of_the_spine_is_shown_by_model(any_service):
    usage = {"m": Usage(input=10, output=4, cached=3, reasoning=2, calls=2, cost_nano=12_345, prices="v1")}
    any_service.append(
        Event(
            id="e", kind="workflow", namespace="p", at=1, status=Status.SUCCEEDED, usage=usage, started_at=1, ended_at=2
        )
    )
    shown = any_service.get_execution("p", "e").to_dict()["models"]["m"]
    assert shown == {
        "input": 10,
        "output": 4,
        "cached": 3,
        "reasoning": 2,
        "total": 14,
        "calls": 2,
        "costUSD": 0.000012345,
        "prices": "v1",
    }


def _event(execution_id, at, **fields):
    return Event(id=execution_id, kind="workflow", namespace="p", at=at, **fields)
