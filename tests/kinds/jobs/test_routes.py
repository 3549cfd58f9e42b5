"""The scheduler's routes, by their handlers and over HTTP."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from chores import wait_for
from execlog.core.errors import ConflictError
from execlog.core.model import Event, Item, Status
from execlog.kind import Call as RouteCall
from execlog.kind import Principal
from execlog.kinds.jobs import Fetch, Interval, Job, JobExecutionRecord, jobs_kind
from execlog.kinds.jobs.routes import JobParams
from execlog.store.jobs import Advance
from job_calls import make

THIRTEEN = [
    "execution_id", "job_id", "job_name", "start_time", "end_time", "status", "fetched_stocks", "failed_stocks",
    "errors", "total_stocks", "duration_seconds", "triggered_by", "metadata",
]  # fmt: skip


def save(app, execution_id, job_id="j1", start=0, status="success", **fields):
    began = datetime(2025, 10, 29, 10, tzinfo=UTC) + timedelta(seconds=start)
    ended = None if status == "running" else began
    app.registry.save_execution(
        JobExecutionRecord(execution_id, job_id, "Job", began, end_time=ended, status=status, **fields)
    )


def test_the_table_has_every_route_of_the_contract(app):
    routes = {(route.method, route.path) for route in jobs_kind(app).routes}
    job = "/scheduler/jobs/{job_id}"
    assert routes == {
        ("GET", f"{job}/history"),
        ("GET", f"{job}/latest-execution"),
        ("GET", "/scheduler/executions/{execution_id}"),
        ("DELETE", "/scheduler/executions/{execution_id}"),
        ("DELETE", f"{job}/history"),
        ("POST", "/scheduler/jobs"),
        ("GET", "/scheduler/jobs"),
        *((method, job) for method in ("GET", "PUT", "PATCH", "DELETE")),
        *(("POST", f"{job}/{action}") for action in ("run", "pause", "resume", "cancel")),
    }


def test_writing_takes_an_admin_and_running_an_operator(app):
    roles = {(route.method, route.path.rpartition("/")[2]): route.role for route in jobs_kind(app).routes}
    assert {role for (method, _), role in roles.items() if method == "GET"} == {"viewer"}
    assert {role for (method, _), role in roles.items() if method in {"PUT", "PATCH", "DELETE"}} == {"admin"}
    assert roles["POST", "jobs"] == "admin"
    assert {roles["POST", action] for action in ("run", "pause", "resume", "cancel")} == {"operator"}


def test_history_has_exactly_the_shape_clients_expect(app, http):
    save(app, "e1", fetched_stocks=["AAPL"], failed_stocks=["GOOGL"], status="partial_success", total_stocks=2,
         errors=["Failed to fetch GOOGL: Connection timeout after 30s"], duration_seconds=330.5)  # fmt: skip
    answer = http.get("/scheduler/jobs/j1/history")
    assert answer.status_code == 200
    (record,) = answer.json()
    assert list(record) == THIRTEEN
    assert record["start_time"] == "2025-10-29T10:00:00"
    assert record["errors"] == ["Failed to fetch GOOGL: Connection timeout after 30s"]
    assert http.get("/scheduler/jobs/j1/latest-execution").json() == record
    assert http.get("/scheduler/executions/e1").json() == record


def test_history_is_newest_first_limited_and_filtered(app, http):
    for number in range(60):
        save(app, f"e{number}", start=number, status="failed" if number % 20 == 0 else "success")
    save(app, "r", start=99, status="running")
    ids = [record["execution_id"] for record in http.get("/scheduler/jobs/j1/history").json()]
    assert ids == [f"e{number}" for number in range(59, 9, -1)]
    failed = http.get("/scheduler/jobs/j1/history", params={"limit": 2, "status": "failed"}).json()
    assert [record["execution_id"] for record in failed] == ["e40", "e20"]
    assert len(http.get("/scheduler/jobs/j1/history?limit=1000").json()) == 60
    running = http.get("/scheduler/jobs/j1/history?status=running").json()
    assert [(record["execution_id"], record["end_time"]) for record in running] == [("r", None)]
    assert http.get("/scheduler/jobs/j1/history?status=partial").json() == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1e9", "limit=99999999999999999999", "status=done"]
)
def test_bad_questions_answer_422(app, http, query):
    save(app, "e1")
    answer = http.get(f"/scheduler/jobs/j1/history?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        "/scheduler/jobs/none/history",
        "/scheduler/jobs/none/latest-execution",
        "/scheduler/executions/none",
        "/scheduler/jobs/none",
    ],
)
def test_what_is_not_there_answers_404(http, path):
    assert http.get(path).status_code == 404


@pytest.mark.parametrize("bad", ["..%2f..%2fetc", "a%00b", "a%2fb", "%2e%2e", "x" * 101])
def test_ids_that_escape_answer_422(http, bad):
    for path in (f"/scheduler/executions/{bad}", f"/scheduler/jobs/{bad}/history", f"/scheduler/jobs/{bad}"):
        assert http.get(path).status_code == 422, path


def test_the_latest_execution_of_no_job_and_of_one_without_any_are_told_apart(http):
    job = make(http)
    for job_id, said in [("none", "there is no job 'none'"), (job["id"], "has no executions")]:
        answer = http.get(f"/scheduler/jobs/{job_id}/latest-execution")
        assert (answer.status_code, said in answer.json()["detail"]) == (404, True)


def test_a_known_job_without_executions_answers_an_empty_list(http):
    job = make(http)
    assert http.get(f"/scheduler/jobs/{job['id']}/history").json() == []
    assert http.get(f"/scheduler/jobs/{job['id']}/latest-execution").status_code == 404


def test_deleting_executions(app, http):
    for number in range(3):
        save(app, f"e{number}", start=number)
    deleted = http.delete("/scheduler/executions/e1")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert http.delete("/scheduler/executions/e1").status_code == 404
    assert http.delete("/scheduler/jobs/j1/history").json() == {"deleted": 2}
    assert http.delete("/scheduler/jobs/j1/history").status_code == 404
    job = make(http)
    assert http.delete(f"/scheduler/jobs/{job['id']}/history").json() == {"deleted": 0}


def test_an_execution_deleted_while_it_runs_stays_deleted(app, http):
    running = Event(id="r", kind="job", at=10, status=Status.RUNNING, subject="j1", name="J", started_at=10)
    app.ledger.append(running)
    app.ledger.flush()
    assert http.delete("/scheduler/executions/r").status_code == 204
    app.ledger.append(Event(id="r", kind="job", at=20, status=Status.SUCCEEDED, ended_at=20, subject="j1"))
    app.ledger.flush()
    assert http.get("/scheduler/executions/r").status_code == 404


def test_a_job_runs_when_asked_and_its_history_tells(app, http):
    app.start_scheduler(poll=0.05)
    job = make(http)
    started = http.post(f"/scheduler/jobs/{job['id']}/run")
    assert started.status_code == 202
    execution_id = started.json()["execution_id"]
    path = f"/scheduler/executions/{execution_id}"
    wait_for(lambda: http.get(path).status_code == 200 and http.get(path).json()["status"] == "partial_success")
    record = http.get(path).json()
    assert (record["fetched_stocks"], record["failed_stocks"], record["triggered_by"]) == (["MSFT"], ["GOOG"], "manual")
    assert http.get(f"/scheduler/jobs/{job['id']}/history").json() == [record]
    again = http.post(f"/scheduler/jobs/{job['id']}/run", json={"retry_of": execution_id}).json()
    assert again["stocks"] == ["GOOG"]
    path = f"/scheduler/executions/{again['execution_id']}"
    wait_for(lambda: http.get(path).json().get("status") == "failed")
    assert http.get(path).json()["total_stocks"] == 1
    assert app.registry.find(again["execution_id"]).retry_of == execution_id


def test_asking_for_a_run_that_cannot_be(http):
    job = make(http)
    path = f"/scheduler/jobs/{job['id']}/run"
    for body in ({"stocks": ["NONE"]}, {"stocks": []}, {"nonsense": 1}, {"stocks": "A"}):
        assert http.post(path, json=body).status_code == 422, body
    assert http.post(path, json={"retry_of": "none"}).status_code == 404


def test_a_retry_of_a_crash_runs_what_never_began_too(app, http):
    job = make(http, stocks=list("ABCDEF"), overlap="allow")
    told = (Item(key="A", at=1, status=Status.FAILED), Item(key="B", at=2, status=Status.SUCCEEDED))
    app.registry.append(
        [Event(id="e", kind="job", at=3, status=Status.CRASHED, subject=job["id"], total=6, items=told)]
    )
    path = f"/scheduler/jobs/{job['id']}"
    assert http.post(f"{path}/run", json={"retry_of": "e"}).json()["stocks"] == list("ACDEF")
    http.patch(path, json={"stocks": ["B"]})
    refused = http.post(f"{path}/run", json={"retry_of": "e"})
    assert (refused.status_code, "left to be run again" in refused.json()["detail"]) == (409, True)


def test_a_retry_of_what_succeeded_is_refused_unless_all_is_to_run(app, http):
    job = make(http, overlap="allow")
    save(app, "e", job["id"], fetched_stocks=["MSFT", "GOOG"], total_stocks=2)
    path = f"/scheduler/jobs/{job['id']}/run"
    assert http.post(path, json={"retry_of": "e"}).status_code == 409
    assert http.post(path, json={"retry_of": "e", "failed_only": False}).json()["stocks"] is None


def test_what_waits_is_queued_and_seen_by_its_id_at_once(app, http):
    job = make(http, overlap="queue")
    execution_id = http.post(f"/scheduler/jobs/{job['id']}/run").json()["execution_id"]
    assert http.get(f"/scheduler/executions/{execution_id}").json()["status"] == "queued"
    assert http.get(f"/scheduler/jobs/{job['id']}/history").json() == []
    assert len(http.get(f"/scheduler/jobs/{job['id']}/history?status=queued").json()) == 1
    assert http.get(f"/scheduler/jobs/{job['id']}").json()["running"] == [execution_id]
    assert http.post(f"/scheduler/jobs/{job['id']}/cancel").json() == {"cancelled": [execution_id]}
    record = http.get(f"/scheduler/executions/{execution_id}").json()
    assert (record["status"], record["errors"]) == ("failed", ["cancelled on request"])


def test_a_running_job_is_not_run_beside_itself_and_can_be_cancelled(app, http):
    app.start_scheduler(poll=0.05)
    job = make(http, run={"type": "call", "function": "chores:stick_on_b"}, stocks=["A", "B"])
    path = f"/scheduler/jobs/{job['id']}"
    execution_id = http.post(f"{path}/run").json()["execution_id"]
    running = f"{path}/history?status=running"
    wait_for(lambda: [record["fetched_stocks"] for record in http.get(running).json()] == [["A"]])
    assert http.post(f"{path}/run").status_code == 409
    assert http.post(f"{path}/cancel").json() == {"cancelled": [execution_id]}
    wait_for(lambda: http.get(f"{path}/history").json())
    (record,) = http.get(f"{path}/history").json()
    assert record["status"] == "failed"
    assert record["fetched_stocks"] == ["A"]
    assert record["errors"][0] == "Failed to run B: cancelled on request"
    assert app.registry.find(execution_id).status is Status.CANCELLED


def test_a_run_that_has_ended_but_is_not_settled_yet_is_no_reason_to_refuse(app, http):
    job = make(http)
    app.desk.run(job["id"])
    (claimed,) = app.jobs.begin(app.jobs.claim("h", now=2**60, lease_until=2**61, limit=1))
    app.registry.append([Event(id=claimed.execution_id, kind="job", at=2, status=Status.SUCCEEDED, ended_at=2)])
    threading.Timer(0.2, app.jobs.settle, [[claimed]]).start()
    assert http.post(f"/scheduler/jobs/{job['id']}/run").status_code == 202


def test_what_runs_of_a_deleted_job_says_that_it_was_deleted(app, http):
    app.start_scheduler(poll=0.05)
    job = make(http, run={"type": "call", "function": "chores:stick_on_b"}, stocks=["B"])
    started = http.post(f"/scheduler/jobs/{job['id']}/run").json()
    path = f"/scheduler/executions/{started['execution_id']}"
    wait_for(lambda: http.get(path).json()["status"] == "running")
    http.delete(f"/scheduler/jobs/{job['id']}")
    wait_for(lambda: http.get(path).json()["status"] == "failed")
    assert http.get(path).json()["errors"] == ["Failed to run B: the job was deleted"]


def test_a_deleted_job_s_history_stays_readable(app, http):
    job = make(http)
    save(app, "e1", job_id=job["id"])
    http.delete(f"/scheduler/jobs/{job['id']}")
    assert len(http.get(f"/scheduler/jobs/{job['id']}/history").json()) == 1


def test_changes_made_while_the_job_runs_win_without_bringing_an_instant_back(app):
    made = app.desk.create(Job(name="J", stocks=("MSFT",), run=Fetch()))
    calls = []
    put = app.jobs.put

    def contended(entry, *, expected):
        calls.append(entry)
        if len(calls) < 3:
            raise ConflictError("it ran meanwhile")
        return put(entry, expected=expected)

    app.jobs.put = contended
    assert app.desk.patch(made.id, {"name": "K"}).name == "K"
    assert len(calls) == 3


def test_a_changed_trigger_brings_back_no_instant_that_was_dealt_with(app):
    trigger = Interval(10, datetime(2020, 1, 1, tzinfo=UTC))
    made = app.desk.create(Job(name="J", stocks=("MSFT",), run=Fetch(), trigger=trigger))
    entry = app.jobs.get(made.id)
    ahead = entry.next_at + 86_400_000_000  # the clock was a day ahead, and is right again
    step = Advance(
        job_id=made.id, version=1, was_at=entry.next_at, next_at=ahead + 10_000_000, due_at=ahead, last_at=ahead
    )
    app.jobs.advance([step])
    changed = app.desk.patch(
        made.id, {"trigger": {"type": "interval", "seconds": 5, "start_at": "2020-01-01T00:00:00Z"}}
    )
    assert changed.next_run_at > changed.last_run_at


def test_handlers_are_plain_functions_of_a_call(app):
    made = app.desk.create(Job(name="J", stocks=("MSFT",), run=Fetch()))
    routes = {(route.method, route.path): route.handler for route in jobs_kind(app).routes}
    call = RouteCall(params=JobParams(made.id), principal=Principal("operator", "ada"))
    started = routes["POST", "/scheduler/jobs/{job_id}/run"](call)
    assert (started.status, started.body.job_id) == (202, made.id)
    assert app.registry.get_execution(started.body.execution_id).triggered_by == "ada"
    cancelled = routes["POST", "/scheduler/jobs/{job_id}/cancel"](call)
    assert cancelled.cancelled == (started.body.execution_id,)
    assert app.registry.get_execution(started.body.execution_id).errors == ["cancelled by ada"]
