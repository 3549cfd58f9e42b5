"""The scheduler's routes, by their handlers and over HTTP."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from chores import gate, wait_for
from execlog.core.errors import ConflictError, InvalidError
from execlog.core.model import Event, Item, Status
from execlog.kind import Call as RouteCall
from execlog.kind import Principal
from execlog.kinds.jobs import Call, Fetch, Interval, Job, JobExecutionRecord, SchedulerServingApp, jobs_kind
from execlog.kinds.jobs.routes import JobParams
from execlog.ledger import Ledger
from execlog.store.jobs import Advance, Entry
from execlog.web.app import create_app

THIRTEEN = [
    "execution_id", "job_id", "job_name", "start_time", "end_time", "status", "fetched_stocks", "failed_stocks",
    "errors", "total_stocks", "duration_seconds", "triggered_by", "metadata",
]  # fmt: skip
FETCH = {
    "name": "Daily",
    "stocks": ["MSFT", "GOOG"],
    "run": {"type": "fetch", "start": "2000-01-01", "end": "2000-12-31"},
}


@pytest.fixture(
    params=[
        "memory",
        "files",
        pytest.param("redis", marks=pytest.mark.valkey),
        pytest.param("postgres", marks=pytest.mark.postgres),
    ]
)
def app(request, tmp_path, new_store_url):
    gate.clear()
    with Ledger.open(new_store_url(request.param), home=tmp_path) as ledger, SchedulerServingApp(ledger) as opened:
        yield opened
        gate.set()


@pytest.fixture
def http(app):
    with TestClient(create_app(app.ledger, [jobs_kind(app)]), base_url="http://127.0.0.1") as client:
        yield client


def save(app, execution_id, job_id="j1", start=0, status="success", **fields):
    began = datetime(2025, 10, 29, 10, tzinfo=UTC) + timedelta(seconds=start)
    ended = None if status == "running" else began
    app.registry.save_execution(
        JobExecutionRecord(execution_id, job_id, "Job", began, end_time=ended, status=status, **fields)
    )


def make(http, **fields):
    answer = http.post("/scheduler/jobs", json=FETCH | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


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


def test_a_job_is_made_read_replaced_changed_and_removed(http):
    answer = http.post(
        "/scheduler/jobs", json=FETCH | {"id": "daily", "trigger": {"type": "interval", "seconds": 3600}}
    )
    assert (answer.status_code, answer.headers["location"]) == (201, "/scheduler/jobs/daily")
    job = answer.json()
    assert (job["version"], job["enabled"], job["overlap"], job["running"]) == (1, True, "skip", [])
    assert job["next_run_at"].endswith("Z")
    assert http.get("/scheduler/jobs/daily").json() == job
    assert http.get("/scheduler/jobs").json() == [job]
    assert http.post("/scheduler/jobs", json=FETCH | {"id": "daily"}).status_code == 409
    changed = http.patch("/scheduler/jobs/daily", json={"stocks": ["AAPL"], "tags": {"team": "x"}}).json()
    assert (changed["stocks"], changed["tags"], changed["version"]) == (["AAPL"], {"team": "x"}, 2)
    assert changed["next_run_at"] == job["next_run_at"]
    replaced = http.put("/scheduler/jobs/daily", json=FETCH | {"name": "Other"}).json()
    assert (replaced["name"], replaced["next_run_at"], replaced["tags"]) == ("Other", None, {})
    assert http.delete("/scheduler/jobs/daily").status_code == 204
    for method in ("get", "delete"):
        assert getattr(http, method)("/scheduler/jobs/daily").status_code == 404
    for method in ("put", "patch"):
        assert getattr(http, method)("/scheduler/jobs/daily", json=FETCH).status_code == 404
    for action in ("run", "pause", "resume", "cancel"):
        assert http.post(f"/scheduler/jobs/daily/{action}").status_code == 404


CRON = {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ({"retries": {"backoff": 20}}, {"retries": {"limit": 3, "backoff": 20.0, "factor": 2.0}}),
        ({"trigger": {"type": "cron", "expression": "0 8 * * *"}}, {"trigger": CRON | {"expression": "0 8 * * *"}}),
        ({"trigger": {"type": "once", "at": "2999-01-01T00:00:00Z"}}, {"trigger": {"type": "once"}}),
        ({"trigger": None, "run": {"type": "fetch", "start": None}}, {"trigger": None, "run": {"start": None}}),
        ({"run": {"type": "fetch", "source": "yfinance"}}, {"run": FETCH["run"] | {"source": "yfinance"}}),
        ({"run": {"type": "call", "function": "m:f"}}, {"run": {"type": "call", "function": "m:f", "args": {}}}),
        ({"tags": {"c": "3"}}, {"tags": {"c": "3"}}),
        ({"misfire": {}}, {"tags": {"a": "1", "b": "2"}, "misfire": {"policy": "skip", "grace": 5.0}}),
    ],
)
def test_what_a_patch_leaves_out_stays(http, patch, after):
    was = {"retries": {"limit": 3, "backoff": 10}, "misfire": {"policy": "skip", "grace": 5}}
    job = make(http, trigger=CRON, tags={"a": "1", "b": "2"}, **was)
    answer = http.patch(f"/scheduler/jobs/{job['id']}", json=patch)
    assert answer.status_code == 200, answer.text
    for name, value in after.items():
        shown = answer.json()[name]
        whole = not isinstance(value, dict) or name == "tags"
        assert shown == value if whole else value.items() <= shown.items(), name


def test_what_was_read_can_be_sent_back_and_moves_nothing(http):
    job = make(http, trigger={"type": "interval", "seconds": 3600})
    path = f"/scheduler/jobs/{job['id']}"
    again = http.put(path, json=http.get(path).json())
    assert again.status_code == 200, again.text
    assert again.json() == job | {"version": 2, "updated_at": again.json()["updated_at"]}
    repeated = http.put(path, json=FETCH | {"trigger": {"type": "interval", "seconds": 3600}}).json()
    assert (repeated["next_run_at"], repeated["trigger"]) == (job["next_run_at"], job["trigger"])


def test_what_others_changed_is_not_overwritten_unseen(http):
    job = make(http)
    path = f"/scheduler/jobs/{job['id']}"
    seen = http.get(path).headers["etag"]
    assert http.patch(path, json={"name": "First"}, headers={"If-Match": seen}).status_code == 200
    assert http.patch(path, json={"name": "Second"}, headers={"If-Match": seen}).status_code == 409
    assert http.put(path, json=FETCH, headers={"If-Match": seen}).status_code == 409
    assert http.patch(path, json={"name": "Third"}, headers={"If-Match": "nonsense"}).status_code == 422
    assert http.patch(path, json={"name": "Fourth"}, headers={"If-Match": "*"}).json()["name"] == "Fourth"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"stocks": []},
        {"stocks": ["A", "A"]},
        {"unknown": 1},
        {"run": {"type": "fetch", "source": "nowhere"}},
        {"run": {"type": "call", "function": "nonsense"}},
        {"trigger": {"type": "cron", "expression": "99 * * * *"}},
        {"trigger": {"type": "once", "at": "2001-01-01T00:00:00Z"}},
        {"trigger": {"type": "session", "calendar": "NOPE"}},
        {"concurrency": 0},
        {"id": "a/b"},
        {"timeout": -5},
    ],
)
def test_jobs_that_cannot_be_are_refused_with_their_reason(http, fields):
    answer = http.post("/scheduler/jobs", json=FETCH | fields)
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) > 10
    assert http.get("/scheduler/jobs").json() == []


def test_patching_cannot_make_a_job_that_cannot_be(http):
    job = make(http)
    path = f"/scheduler/jobs/{job['id']}"
    for body in ({"stocks": []}, {"id": "other"}, {"name": None}, {"nonsense": 1}, {"concurrency": "many"}):
        assert http.patch(path, json=body).status_code == 422, body
    assert http.put(path, json=FETCH | {"id": "other"}).status_code == 422
    assert http.get(path).json() == job


def test_jobs_are_listed_page_by_page(http):
    ids = [make(http, name=f"J{number}")["id"] for number in range(5)]
    first = http.get("/scheduler/jobs?limit=2")
    second = http.get("/scheduler/jobs", params={"limit": 2, "cursor": first.headers["x-next-cursor"]})
    third = http.get("/scheduler/jobs", params={"limit": 2, "cursor": second.headers["x-next-cursor"]})
    assert [job["id"] for page in (first, second, third) for job in page.json()] == ids[::-1]
    assert "x-next-cursor" not in third.headers
    assert http.get("/scheduler/jobs?cursor=nonsense").status_code == 422


def test_a_job_that_cannot_be_read_hides_no_other(app, http, caplog):
    made = make(http)
    unreadable = Entry(id="bad", definition={"name": "bad", "timeout": 0}, created_at=0, updated_at=0)
    app.desk._jobs.put(unreadable, expected=None)
    listed = http.get("/scheduler/jobs")
    assert (listed.status_code, [job["id"] for job in listed.json()]) == (200, [made["id"]])
    assert "'bad' cannot be read" in caplog.text
    assert http.delete("/scheduler/jobs/bad").status_code == 204


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


def test_pausing_and_resuming(http):
    job = make(http, trigger={"type": "interval", "seconds": 3600})
    path = f"/scheduler/jobs/{job['id']}"
    paused = http.post(f"{path}/pause").json()
    assert (paused["enabled"], paused["next_run_at"]) == (False, None)
    resumed = http.post(f"{path}/resume").json()
    assert (resumed["enabled"], resumed["next_run_at"]) == (True, job["next_run_at"])


def test_secrets_of_a_job_are_not_shown_and_not_lost(app, http):
    run = {"type": "command", "command": "true", "env": {"API_KEY": "s3cret", "REGION": "eu"}}
    job = make(http, run=run, stocks=[])
    assert job["run"]["env"] == {"API_KEY": "[redacted]", "REGION": "eu"}
    path = f"/scheduler/jobs/{job['id']}"
    body = {name: value for name, value in http.get(path).json().items() if name in Job.__struct_fields__}
    body["run"]["env"]["REGION"] = "us"
    assert http.put(path, json=body).status_code == 200
    assert app.jobs.get(job["id"]).definition["run"]["env"] == {"API_KEY": "s3cret", "REGION": "us"}
    assert "s3cret" not in http.get("/scheduler/jobs").text


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


@pytest.mark.parametrize(
    "bad", [{"name": "\ud800"}, {"run": Call("m:f", {"x": object()})}, {"run": Call("m:f", {"x": "\ud800"})}]
)
def test_a_job_that_json_cannot_hold_is_refused(app, bad):
    with pytest.raises(InvalidError, match="plain JSON"):
        app.desk.create(Job(**({"name": "J", "stocks": ("A",)} | bad)))
    nul = app.desk.create(Job(name="a\0b", stocks=("A",), run=Call("m:f", {"x": "c\0d", "y": [1.5, None]})))
    assert app.desk.get(nul.id).run.args == {"x": "c\0d", "y": [1.5, None]}


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
