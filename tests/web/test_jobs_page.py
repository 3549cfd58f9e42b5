"""The page of jobs: what it says of each, and what may be done from it by whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient

from execlog.core.model import Status
from execlog.kinds.jobs import Command, Cron, Interval, Job, Once, SchedulerServingApp, Session, jobs_kind
from execlog.kinds.jobs.desk import RunRequest
from execlog.kinds.jobs.wording import trigger_text
from execlog.store.jobs import Advance
from execlog.web.app import create_app
from execlog.web.server import Server
from execlog.web.wording import duration
from histories import execution, seed
from htmlreader import Reader

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def jobs(ledger):
    with SchedulerServingApp(ledger) as opened:
        yield opened


@pytest.fixture
def nightly(jobs):
    return jobs.desk.create(Job(id="nightly", name="Nightly <b>", run=Command("true"), trigger=Cron("0 2 * * *")))


def page_of(ledger, jobs, role="", path="/jobs") -> tuple[int, Reader]:
    tokens = {"0123456789abcdef": role} if role else {}
    settings = msgspec.structs.replace(ledger.settings, tokens=tokens)
    app = create_app(ledger, [jobs_kind(jobs)], settings)
    headers = {"Authorization": "Bearer 0123456789abcdef"} if role else {}
    answer = TestClient(app, base_url="http://localhost", headers=headers).get(path)
    return answer.status_code, Reader(answer.text)


def posts(page: Reader) -> list[str]:
    return [str(found["data-post"]).rpartition("/")[2] for _, found in page.tags if "data-post" in found]


def test_each_job_says_when_it_runs_and_how_it_went(ledger, jobs, nightly):
    _, page = page_of(ledger, jobs)
    for said in ("Nightly <b>", "nightly", "0 2 * * * UTC", "in ", "never ran"):
        assert said in page.text
    assert posts(page) == ["run", "pause"]
    jobs.desk.run("nightly", RunRequest())
    ledger.flush()
    jobs.desk.set_enabled("nightly", enabled=False)
    _, page = page_of(ledger, jobs)
    assert "paused" in page.text
    assert "never ran" not in page.text
    assert "/subject?kind=job&subject=nightly" in page.links()
    assert posts(page) == ["run", "resume", "cancel"]


def test_what_waits_does_not_hide_how_it_goes(ledger, jobs):
    jobs.desk.create(Job(id="nightly", name="Nightly", run=Command("true"), overlap="queue"))
    jobs.desk.run("nightly", RunRequest())
    jobs.desk.run("nightly", RunRequest())
    ledger.flush()
    assert "queued + 1 under way" in " ".join(page_of(ledger, jobs)[1].text.split())
    seed(ledger, execution(0, subject="nightly", status=Status.FAILED))
    text = " ".join(page_of(ledger, jobs)[1].text.split())
    assert "failed + 2 under way" in text
    assert "queued" not in text


def test_what_nobody_begins_is_called_late_and_what_was_dropped_is_counted(ledger, jobs, nightly):
    assert not {"late", "skipped"} & set(page_of(ledger, jobs)[1].text.split())
    entry, ago = jobs.jobs.get("nightly"), ledger.clock.now() - 60_000_000
    jobs.jobs.put(replace(entry, next_at=ago, due_at=ago), expected=entry.version)
    step = Advance(job_id="nightly", version=2, was_at=ago, next_at=ago + 1, due_at=ago + 1, last_at=ago, skipped=3)
    jobs.jobs.advance([step])
    text = " ".join(page_of(ledger, jobs)[1].text.split())
    assert "3 skipped late 60 s ago" in text or "3 skipped late 1 min ago" in text


def test_a_job_that_ran_long_ago_is_found_behind_what_others_record_as_jobs(ledger, jobs, nightly):
    seed(ledger, execution(0, subject="nightly"), *(execution(n, subject=f"other {n}") for n in range(1, 1_002)))
    _, page = page_of(ledger, jobs)
    assert "never ran" not in page.text
    assert "/executions/run-0?kind=job" in page.links()


def test_a_job_without_a_trigger_cannot_be_paused(ledger, jobs):
    jobs.desk.create(Job(id="hand", name="By hand", run=Command("true")))
    assert posts(page_of(ledger, jobs)[1]) == ["run"]


def test_no_jobs_say_how_to_make_one(ledger, jobs):
    _, page = page_of(ledger, jobs)
    assert "execlog jobs add" in page.text
    assert "http://localhost/scheduler/jobs" in page.text


@pytest.mark.parametrize(
    ("role", "status", "may"),
    [
        ("viewer", 200, []),
        ("operator", 200, ["run", "pause"]),
        ("operator:alice", 403, []),
        ("admin", 200, ["run", "pause"]),
    ],
)
def test_a_page_shows_what_its_reader_may_do(ledger, jobs, nightly, role, status, may):
    answered, page = page_of(ledger, jobs, role)
    assert (answered, posts(page)) == (status, may)
    _, first = page_of(ledger, jobs, role, "/")
    assert ("/jobs" in first.links()) == (status == 200)


def test_where_no_family_brings_jobs_there_is_no_page_of_them(client):
    assert client.get("/jobs").status_code == 404
    assert "/jobs" not in Reader(client.get("/").text).links()


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        (None, "by hand"),
        (Cron("0 6 * * 1-5", "Europe/Berlin"), "0 6 * * 1-5 Europe/Berlin"),
        (Interval(90), "every 1 min 30 s"),
        (Once(datetime(2026, 1, 31, 6, tzinfo=UTC)), "once, 2026-01-31T06:00:00+00:00"),
        (Session("XNYS"), "XNYS close"),
        (Session("XNYS", "open", -900), "XNYS open - 15 min"),
    ],
)
def test_a_schedule_in_words(trigger, said):
    assert trigger_text(trigger, duration) == said


@pytest.mark.browser
def test_jobs_are_run_paused_and_cancelled_from_the_page(ledger, jobs, nightly, browser: Browser):
    settings = msgspec.structs.replace(ledger.settings, port=0)
    with Server(ledger, [jobs_kind(jobs)], settings).in_thread() as url:
        page = browser.new_page()
        page.goto(f"{url}/jobs")
        page.locator("#live[data-state=on]").wait_for()
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        assert [one["id"] for one in axe.Axe().run(page).response["violations"]] == []
        page.get_by_role("button", name="Pause: Nightly").click()
        page.get_by_text("paused").wait_for()
        assert not jobs.desk.get("nightly").enabled
        page.get_by_role("button", name="Resume: Nightly").click()
        page.get_by_role("button", name="Pause: Nightly").wait_for()
        page.get_by_role("button", name="Run now: Nightly").click()
        page.locator(".badge.queued").wait_for()
        page.get_by_role("button", name="Run now: Nightly").click()
        page.locator("#refused", has_text="nightly").wait_for()
        page.get_by_role("button", name="Cancel: Nightly").click()
        page.locator(".badge.cancelled").wait_for()
        assert page.locator("#refused").is_hidden()
        assert not jobs.desk.get("nightly").running
        page.close()


@pytest.mark.browser
def test_a_keyboard_stays_where_it_was_when_a_button_was_pressed(ledger, jobs, nightly, browser: Browser):
    jobs.desk.create(Job(id="other", name="Other", run=Command("true"), trigger=Cron("0 2 * * *")))
    settings = msgspec.structs.replace(ledger.settings, port=0)
    with Server(ledger, [jobs_kind(jobs)], settings).in_thread() as url:
        page = browser.new_page()
        page.goto(f"{url}/jobs")
        page.locator("#live[data-state=on]").wait_for()
        for pressed, reached in (("Run now", "Run now"), ("Pause", "Resume"), ("Resume", "Pause"), ("Cancel", "Pause")):
            page.get_by_role("button", name=f"{pressed}: Nightly").press("Enter")
            focused = page.locator("[data-post]:focus:not([aria-disabled])")
            focused.and_(page.get_by_role("button", name=f"{reached}: Nightly")).wait_for()
            if pressed in {"Run now", "Cancel"}:
                page.get_by_role("button", name="Cancel: Nightly").wait_for(
                    state="visible" if pressed == "Run now" else "detached"
                )
        page.close()
