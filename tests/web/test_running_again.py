"""An execution of a job is run again from its page: by whom, while there is such a job, and where that leads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from starlette.testclient import TestClient

from execlog.core.model import Item, Status
from execlog.kinds.jobs import Command, Job, SchedulerServingApp, jobs_kind
from execlog.kinds.jobs.desk import RunRequest
from execlog.web.app import create_app
from execlog.web.server import Server
from histories import FAILURE, T0, execution, seed
from htmlreader import Reader

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AGAIN = {"retry_of": "run-1", "failed_only": False}
FAILED_AGAIN = {"retry_of": "run-1", "failed_only": True}


@pytest.fixture
def jobs(ledger):
    with SchedulerServingApp(ledger) as opened:
        opened.desk.create(Job(id="prices", name="Prices", run=Command("true"), stocks=("AAPL", "GOOGL")))
        yield opened


def ran(number: int = 1, good: int = 1, **fields):
    """An execution of the job, in which so many of its two stocks succeeded."""
    items = tuple(
        Item(key=key, at=T0, status=Status.SUCCEEDED if at < good else Status.FAILED, position=at)
        for at, key in enumerate(("AAPL", "GOOGL"))
    )
    status = (Status.FAILED, Status.PARTIAL, Status.SUCCEEDED)[good]
    return execution(number, **{"subject": "prices", "status": status, "items": items, "total": 2} | fields)


def page_of(ledger, jobs, role="admin", path="/executions/run-1") -> Reader:
    settings = msgspec.structs.replace(ledger.settings, tokens={"0123456789abcdef": role})
    headers = {"Authorization": "Bearer 0123456789abcdef"}
    client = TestClient(create_app(ledger, [jobs_kind(jobs)], settings), base_url="http://localhost", headers=headers)
    answer = client.get(path)
    assert answer.status_code == 200
    return Reader(answer.text)


def bodies(page: Reader) -> list[dict[str, object]]:
    return [json.loads(str(found["data-body"])) for _, found in page.tags if "data-body" in found]


@pytest.mark.parametrize(
    ("good", "offered"), [(0, [AGAIN]), (1, [AGAIN, FAILED_AGAIN]), (2, [AGAIN])], ids=["none", "some", "all"]
)
def test_what_failed_is_run_again_alone_where_some_succeeded(ledger, jobs, good, offered):
    seed(ledger, ran(good=good))
    page = page_of(ledger, jobs)
    assert bodies(page) == offered
    assert {found["data-post"] for _, found in page.tags if "data-post" in found} == {"/scheduler/jobs/prices/run"}


@pytest.mark.parametrize(
    ("role", "offered"),
    [("viewer", 0), ("operator", 2), ("admin", 2), ("operator:schedule", 0), ("admin:schedule", 0)],
)
def test_buttons_are_for_those_who_may(ledger, jobs, role, offered):
    seed(ledger, ran())
    assert len(bodies(page_of(ledger, jobs, role))) == offered


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "gone"},
        {"subject": None},
        {"namespace": "shop"},
        {"kind": "workflow"},
    ],
    ids=str,
)
def test_nothing_is_offered_that_the_scheduler_could_not_do(ledger, jobs, fields):
    seed(ledger, ran(**fields))
    assert bodies(page_of(ledger, jobs)) == []


RUNNING = {"status": Status.RUNNING, "ended_at": None, "duration": None, "items": ()}


@pytest.mark.parametrize(("role", "offered"), [("viewer", 0), ("operator", 1), ("operator:manual", 0)])
def test_what_runs_alone_can_be_cancelled_where_it_is_looked_at(ledger, jobs, role, offered):
    first = jobs.desk.run("prices", RunRequest()).execution_id
    ledger.flush()
    seed(ledger, ran(id=first, actor="manual", **RUNNING))
    page = page_of(ledger, jobs, role, f"/executions/{first}")
    posts = [found["data-post"] for _, found in page.tags if "data-post" in found]
    assert posts == ["/scheduler/jobs/prices/cancel"] * offered


def test_nothing_is_cancelled_that_is_not_the_only_one_or_not_of_the_scheduler(ledger, jobs):
    seed(ledger, ran(**RUNNING))
    assert "data-post" not in str(page_of(ledger, jobs).tags)
    jobs.desk.run("prices", RunRequest())
    assert "data-post" not in str(page_of(ledger, jobs).tags)


def test_where_no_family_brings_jobs_nothing_is_run_again(ledger, client):
    seed(ledger, ran())
    assert bodies(Reader(client.get("/executions/run-1").text)) == []


def test_a_failure_is_compared_with_the_last_success(ledger, jobs):
    seed(ledger, ran(0, good=2), ran(1, good=0, error=FAILURE, params={"year": 2004}))
    (link,) = [link for link in page_of(ledger, jobs).links() if link.endswith("/comparison?kind=job&other=run-0")]
    with TestClient(create_app(ledger), base_url="http://localhost") as client:
        assert client.get(link).json()["differences"][0]["path"] == "params.year"


@pytest.mark.browser
def test_the_button_leads_to_the_new_execution(ledger, jobs, browser: Browser):
    seed(ledger, ran())
    settings = msgspec.structs.replace(ledger.settings, port=0)
    with Server(ledger, [jobs_kind(jobs)], settings).in_thread() as url:
        page = browser.new_page()
        page.goto(f"{url}/executions/run-1")
        page.get_by_role("button", name="Run the failed items again").click()
        page.wait_for_url(f"{url}/executions/0*")
        page.locator("h1 .badge.queued").wait_for()
        (firing,) = jobs.jobs.firings(job_id="prices")
        assert (firing.execution_id in page.url, firing.items, firing.retry_of) == (True, ("GOOGL",), "run-1")
        page.goto(f"{url}/executions/run-1")
        page.get_by_role("button", name="Run again").click()
        page.locator("#refused", has_text="prices").wait_for()
        assert page.url.endswith("/executions/run-1")
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        assert [one["id"] for one in axe.Axe().run(page).response["violations"]] == []
        page.close()
