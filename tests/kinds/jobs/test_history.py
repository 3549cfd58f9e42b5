"""The jobs' record and registry, and the serving class."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execlog.core.errors import InvalidError, NotFoundError
from execlog.core.model import Error, Event, Execution, Item, Status
from execlog.core.settings import load
from execlog.kinds.jobs import (
    ExecutionHistoryRegistry,
    Job,
    JobExecutionRecord,
    SchedulerServingApp,
)
from execlog.kinds.jobs.record import WORDS, record_of, statuses_for
from execlog.ledger import Ledger
from execlog.store.memory import MemoryStore

DOCUMENTED = {
    "execution_id": "abc-123",
    "job_id": "job-456",
    "job_name": "Daily AAPL",
    "start_time": "2025-10-29T10:00:00",
    "end_time": "2025-10-29T10:05:30",
    "status": "partial_success",
    "fetched_stocks": ["AAPL", "MSFT"],
    "failed_stocks": ["GOOGL"],
    "errors": ["Failed to fetch GOOGL: Connection timeout after 30s"],
    "total_stocks": 3,
    "duration_seconds": 330.5,
    "triggered_by": "manual",
    "metadata": {"region": "eu"},
}


def record(execution_id="e1", job_id="j1", start=0, status="success", **fields):
    began = datetime(2025, 10, 29, 10, tzinfo=UTC) + timedelta(seconds=start)
    ended = None if status in {"running", "queued"} else began + timedelta(seconds=2)
    defaults = {"end_time": ended, "status": status, "duration_seconds": 2.0}
    return JobExecutionRecord(execution_id, job_id, "Job", began, **(defaults | fields))


def test_a_record_has_the_thirteen_fields_as_clients_expect_them():
    loaded = JobExecutionRecord.from_dict(DOCUMENTED)
    assert loaded.to_dict() == DOCUMENTED
    assert list(loaded.to_dict()) == list(DOCUMENTED)
    assert json.loads(json.dumps(loaded.to_dict())) == DOCUMENTED
    assert loaded.start_time == datetime(2025, 10, 29, 10, tzinfo=UTC)


def test_times_are_utc_whatever_they_came_in():
    east = timezone(timedelta(hours=2))
    for start in (datetime(2025, 1, 1, 12, tzinfo=east), datetime(2025, 1, 1, 10)):  # noqa: DTZ001 - a naive one is the case
        made = JobExecutionRecord("e", "j", "J", start)
        assert made.start_time == datetime(2025, 1, 1, 10, tzinfo=UTC)
        assert made.to_dict()["start_time"] == "2025-01-01T10:00:00"
        assert made.to_dict()["end_time"] is None
    parsed = JobExecutionRecord.from_dict(DOCUMENTED | {"start_time": "2025-10-29T12:00:00.250000+02:00"})
    assert parsed.to_dict()["start_time"] == "2025-10-29T10:00:00.250000"


def test_a_record_can_be_filled_in_as_the_job_goes_on():
    made = JobExecutionRecord("e", "j", "J", datetime(2025, 1, 1, tzinfo=UTC))
    made.fetched_stocks.append("A")
    made.status, made.end_time = "success", datetime(2025, 1, 1, 1)  # noqa: DTZ001 - as clients do
    assert made.to_dict()["end_time"] == "2025-01-01T01:00:00"
    assert JobExecutionRecord("f", "j", "J", made.start_time).fetched_stocks == []


def test_what_a_record_does_not_say_of_its_time_follows_from_the_rest(registry):
    registry.save_execution(record("no duration", duration_seconds=None))
    registry.save_execution(record("no end", end_time=None, duration_seconds=30.0))
    registry.save_execution(record("no time at all", duration_seconds=0.0))
    shown = {one: registry.get_execution(one).to_dict() for one in ("no duration", "no end", "no time at all")}
    assert [one["duration_seconds"] for one in shown.values()] == [2.0, 30.0, 0.0]
    assert shown["no end"]["end_time"] == "2025-10-29T10:00:30"
    unsaid = {name: value for name, value in DOCUMENTED.items() if name != "duration_seconds"}
    assert JobExecutionRecord.from_dict(unsaid).to_dict()["duration_seconds"] is None


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "done"},
        {"start_time": "yesterday"},
        {"start_time": None},
        {"fetched_stocks": "AAPL"},
        {"total_stocks": "many"},
        {"metadata": []},
    ],
)
def test_what_is_no_record_is_refused(fields):
    with pytest.raises(InvalidError):
        JobExecutionRecord.from_dict(DOCUMENTED | fields)


def test_unknown_fields_of_a_newer_client_are_ignored():
    assert JobExecutionRecord.from_dict(DOCUMENTED | {"later": 1}).to_dict() == DOCUMENTED


def test_what_is_saved_comes_back_the_same(registry):
    assert registry.save_execution(JobExecutionRecord.from_dict(DOCUMENTED))
    assert registry.get_execution("abc-123").to_dict() == DOCUMENTED
    assert registry.get_latest_execution("job-456").to_dict() == DOCUMENTED
    assert registry.get_execution("other") is None
    assert registry.get_latest_execution("other") is None


def test_history_is_newest_first_filtered_before_it_is_limited(registry):
    for number in range(6):
        status = ("success", "failed", "partial_success")[number % 3]
        registry.save_execution(record(f"e{number}", start=number, status=status))
    registry.save_execution(record("other", "j2", start=99))
    ids = [found.execution_id for found in registry.get_job_history("j1")]
    assert ids == ["e5", "e4", "e3", "e2", "e1", "e0"]
    assert [found.execution_id for found in registry.get_job_history("j1", limit=2)] == ["e5", "e4"]
    assert [found.execution_id for found in registry.get_job_history("j1", limit=1, status="success")] == ["e3"]
    assert registry.get_execution_count("j1") == 6
    for word in ("partial", "partial_success"):
        assert [found.execution_id for found in registry.get_job_history("j1", status=word)] == ["e5", "e2"]


def test_running_and_queued_are_hidden_until_they_are_asked_for(registry):
    registry.save_execution(record("r", status="running"))
    registry.save_execution(record("q", status="queued"))
    assert registry.get_job_history("j1") == []
    assert registry.get_latest_execution("j1") is None
    assert registry.get_execution_count("j1") == 0
    assert [found.execution_id for found in registry.get_job_history("j1", status="running")] == ["r"]
    assert [found.execution_id for found in registry.get_job_history("j1", status="queued")] == ["q"]
    assert registry.get_execution("r").status == "running"
    assert registry.delete_job_history("j1") == 0
    assert registry.knows("j1")


def test_the_latest_is_the_one_that_started_last_not_the_one_saved_last(registry):
    registry.save_execution(record("late", start=100))
    registry.save_execution(record("early", start=1))
    assert registry.get_latest_execution("j1").execution_id == "late"


@pytest.mark.parametrize(("limit", "status"), [(0, None), (1001, None), (-1, None), (5, "done"), (5, "success ")])
def test_bad_questions_are_refused(registry, limit, status):
    with pytest.raises(InvalidError):
        registry.get_job_history("j1", limit, status)


@pytest.mark.parametrize("bad", ["", "a/b", "..", "x" * 101, "a\0b", "a\nb", "\ud800"])
def test_ids_that_escape_are_refused(registry, bad):
    with pytest.raises(InvalidError):
        registry.save_execution(record(bad))
    with pytest.raises(InvalidError):
        registry.save_execution(record("e", bad))


def test_saving_again_updates_and_never_goes_back(registry):
    registry.save_execution(record(status="running", start=0))
    done = record(status="failed", failed_stocks=["A", "B"], errors=["Failed to fetch A: x"], total_stocks=2)
    registry.save_execution(done)
    registry.save_execution(record(status="running"))
    assert registry.get_execution("e1") == done
    better = record(
        status="partial_success",
        fetched_stocks=["C"],
        failed_stocks=["A"],
        errors=["Failed to fetch A: x", "and a line of its own"],
        total_stocks=2,
        metadata={"n": 1},
    )
    registry.save_execution(better)
    assert registry.get_execution("e1") == better
    assert registry.get_execution_count("j1") == 1


def test_a_job_of_another_namespace_is_not_the_schedulers(registry):
    """Its clients know no namespaces: what they cannot read by its id they neither see nor remove."""
    fields = {"kind": "job", "subject": "j1", "at": 1, "started_at": 1, "ended_at": 2, "status": Status.SUCCEEDED}
    registry.append([Event(id="theirs", namespace="shop", **fields)])
    registry.save_execution(record("ours"))
    assert [found.execution_id for found in registry.get_job_history("j1")] == ["ours"]
    assert registry.get_execution_count("j1") == 1
    assert not registry.delete_execution("theirs")
    assert registry.delete_job_history("j1") == 1


@pytest.mark.valkey
def test_what_another_scheduler_writes_into_redis_is_in_its_jobs_history(empty_valkey_url, tmp_path):
    redis = pytest.importorskip("redis")
    client = redis.Redis.from_url(empty_valkey_url, decode_responses=True)
    for day in (1, 2, 3):
        id_ = f"theirs-{day}"
        said = DOCUMENTED | {"execution_id": id_, "start_time": f"2025-10-0{day}T10:00:00"}
        client.set(f"scheduler:execution_history:{id_}", json.dumps(said), ex=1000)
        client.lpush("scheduler:job_history_index:job-456", id_)
    with Ledger.open(empty_valkey_url, home=tmp_path) as ledger, SchedulerServingApp(ledger) as app:
        shown = app.get_job_execution_history("job-456")
        assert [one["execution_id"] for one in shown] == ["theirs-3", "theirs-2", "theirs-1"]
        assert app.get_latest_execution("job-456") == shown[0]
        assert app.registry.get_execution_count("job-456") == 3
        client.delete("scheduler:execution_history:theirs-3")  # its time to live ended, or its writer removed it
        assert app.registry.get_latest_execution("job-456").execution_id == "theirs-2"
        assert app.registry.delete_job_history("job-456") == 2
        assert list(client.scan_iter("scheduler:execution_history:*")) == []
    client.close()


def test_deleting(registry):
    for number in range(3):
        registry.save_execution(record(f"e{number}", start=number))
    registry.save_execution(record("other", "j2"))
    assert registry.delete_execution("e1")
    assert not registry.delete_execution("e1")
    assert registry.get_execution("e1") is None
    assert registry.delete_job_history("j1") == 2
    assert registry.delete_job_history("j1") == 0
    assert registry.get_execution("other") is not None


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
stocks = st.lists(st.from_regex(r"[A-Z]{1,4}", fullmatch=True), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    stocks, stocks, st.lists(texts, max_size=3), st.integers(0, 9), st.sampled_from(["success", "failed", "partial"])
)
def test_whatever_a_client_saves_it_reads(fetched, failed, errors, total, status):
    registry = ExecutionHistoryRegistry(MemoryStore())
    made = record(status=status, fetched_stocks=fetched, failed_stocks=failed, errors=errors, total_stocks=total)
    registry.save_execution(made)
    made.status = "partial_success" if status == "partial" else status
    assert registry.get_execution("e1") == made


def test_every_canonical_status_has_its_word_and_every_word_its_statuses():
    assert {WORDS[status] for status in statuses_for(None)} == {"success", "partial_success", "failed"}
    assert set(statuses_for("failed")) == {Status.FAILED, Status.TIMED_OUT, Status.CANCELLED, Status.CRASHED}
    for status in Status:
        assert status in statuses_for(WORDS[status])


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("status", [Status.TIMED_OUT, Status.CANCELLED, Status.CRASHED])
def test_statuses_a_does_not_know_are_failed_with_an_error_that_says_so(status, said):
    error = Error("X", f"it was {status}") if said else None
    shown = record_of(Execution(id="e", kind="job", at=1, created_at=1, status=status, subject="j", error=error))
    assert shown.status == "failed"
    assert [line.lower().replace(" ", "_").partition(":")[0] for line in shown.errors] == [
        f"it_was_{status}" if said else status.value
    ]


def test_an_error_of_the_execution_is_not_said_twice():
    item = Item(key="GOOGL", status=Status.FAILED, error=Error("TimeoutError", "Connection timeout after 30s"))
    execution = Execution(
        id="e", kind="job", at=1, created_at=1, status=Status.FAILED, subject="j", items=(item,), error=item.error
    )
    assert record_of(execution).errors == ["Failed to fetch GOOGL: Connection timeout after 30s"]


def test_secrets_in_a_record_are_not_kept(ledger):
    registry = ExecutionHistoryRegistry(ledger)
    registry.save_execution(
        record(
            status="failed",
            failed_stocks=["A"],
            errors=["Failed to fetch A: password=hunter2"],
            metadata={"token": "s3cret"},
        )
    )
    kept = json.dumps(registry.get_execution("e1").to_dict())
    assert "hunter2" not in kept
    assert "s3cret" not in kept
    assert "Failed to fetch A: password=[redacted]" in registry.get_execution("e1").errors


def test_the_serving_class_answers_in_plain_dicts(ledger):
    with SchedulerServingApp(ledger) as app:
        app.registry.save_execution(JobExecutionRecord.from_dict(DOCUMENTED))
        assert app.get_job_execution_history("job-456", limit=5, status="partial") == [DOCUMENTED]
        assert app.get_latest_execution("job-456") == DOCUMENTED
        assert app.get_execution("abc-123") == DOCUMENTED
        assert app.get_execution("none") is None
        assert app.get_latest_execution("none") is None
        with pytest.raises(NotFoundError):
            app.get_job_execution_history("none")
        made = app.desk.create(Job(name="New", stocks=("AAPL",)))
        assert app.get_job_execution_history(made.id) == []


def test_a_crash_seen_by_others_is_an_error_the_client_can_read(ledger):
    ledger.append(
        Event(id="c", kind="job", at=5, status=Status.CRASHED, subject="j", name="J", started_at=1, ended_at=5)
    )
    assert ledger.flush()
    (found,) = ExecutionHistoryRegistry(ledger).get_job_history("j", status="failed")
    assert found.errors == ["Crashed: the process that ran it is gone"]


def test_what_another_part_of_the_process_has_just_recorded_is_found(tmp_path):
    seldom = load({"EXECLOG_DRAIN_INTERVAL": "60"}, home=str(tmp_path))
    with Ledger.open("memory://", settings=seldom) as ledger:
        registry = ExecutionHistoryRegistry(ledger)
        assert registry.find("e") is None
        assert ledger.append(Event(id="e", kind="job", at=1, status=Status.RUNNING, subject="j"))
        found = registry.find("e")
        assert found is not None
        assert (found.status, found.subject) == (Status.RUNNING, "j")
