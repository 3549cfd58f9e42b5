"""Making, changing and listing jobs, over HTTP."""

import pytest

from execlog.core.errors import InvalidError
from execlog.kinds.jobs import Call, Job
from execlog.store.jobs import Entry
from job_calls import FETCH, make


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


@pytest.mark.parametrize(
    "bad", [{"name": "\ud800"}, {"run": Call("m:f", {"x": object()})}, {"run": Call("m:f", {"x": "\ud800"})}]
)
def test_a_job_that_json_cannot_hold_is_refused(app, bad):
    with pytest.raises(InvalidError, match="plain JSON"):
        app.desk.create(Job(**({"name": "J", "stocks": ("A",)} | bad)))
    nul = app.desk.create(Job(name="a\0b", stocks=("A",), run=Call("m:f", {"x": "c\0d", "y": [1.5, None]})))
    assert app.desk.get(nul.id).run.args == {"x": "c\0d", "y": [1.5, None]}
