"""A page in a real browser: it follows what happens, at both ends of width, light and dark, without a complaint."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import pytest

import servers
from webserver import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
LONG = "n" * 200
PATHS = (
    "/",
    "/executions",
    "/executions/seen",
    "/executions/long",
    "/executions/priced",
    "/subject?kind=job&subject=backfill",
    f"/subject?kind=job&subject={LONG}",
    "/failures",
    "/docs",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with WebServer(tmp_path_factory.mktemp("home")) as started:
        said = {"id": "seen", "kind": "job", "subject": "backfill", "name": "Backfill", "rows": 5}
        items = [{"key": "AAPL", "rows": 5}, {"key": "GOOG", "error": "no rows before August 2004"}]
        post(started, {**said, "items": items, "logs": [{"message": "x" * 300}], "params": {"long": "y" * 500}})
        frames = [f"/srv/{'deep/' * 40}prices.py:12 fetch"]
        error = {"type": "a.b.C", "message": "z" * 3000, "frames": frames}
        items = [{"key": "i" * 300, "error": error}]
        last = {
            "id": "was",
            "kind": "job",
            "subject": LONG,
            "started_at": "2026-01-01T00:00:00Z",
            "status": "succeeded",
        }
        post(started, {**last, "context": {"input": "v" * 100}, "params": {"p" * 90: "q" * 300}})
        long = {"id": "long", "kind": "job", "subject": LONG, "name": LONG, "actor": LONG, "rows": 10**15}
        post(started, {**long, "error": error, "items": items, "params": {"p" * 90: "w" * 300}, "tags": {LONG: LONG}})
        usage = {f"{LONG}-{number}": {"input": 10**12, "output": 10**12, "cost": 10**6} for number in range(2)}
        post(started, {"id": "priced", "kind": "k" * 100, "namespace": "n" * 100, "name": "Priced", "usage": usage})
        yield started


def post(server: WebServer, *said: dict) -> None:
    request = urllib.request.Request(
        f"{server.url}/api/executions", json.dumps(said).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()


def top_of(page: Page, selector: str) -> float:
    return page.locator(selector).evaluate("one => one.getBoundingClientRect().top")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 700, 1440])
def test_pages_fit_and_nothing_complains(server, browser: Browser, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in PATHS:
        page.goto(server.url + path)
        page.wait_for_load_state("load")
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide == 0, (path, width)
    assert complaints == []
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_what_the_keyboard_reaches_is_not_under_the_bar(server, browser: Browser, width):
    page = browser.new_page(viewport={"width": width, "height": 700})
    page.goto(f"{server.url}/docs")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.locator(".operation summary").last.focus()
    bar = page.locator(".top").evaluate("bar => bar.getBoundingClientRect().bottom")
    for _ in range(15):
        page.keyboard.press("Shift+Tab")
        focused = page.evaluate("document.activeElement.getBoundingClientRect().top")
        assert focused >= bar
    page.close()


def test_the_page_one_is_on_can_be_told_without_the_sites_colours(server, browser: Browser):
    context = browser.new_context(forced_colors="active")
    page = context.new_page()
    page.goto(f"{server.url}/executions")
    lines = "[...document.querySelectorAll('.bar nav a')].map((one) => getComputedStyle(one).borderBottomWidth)"
    assert page.evaluate(lines).count("2px") == 1
    context.close()


def test_on_paper_nothing_is_cut_off_and_nothing_is_there_to_be_pressed(server, browser: Browser):
    logs = [{"message": f"line {number}"} for number in range(200)]
    error = {"message": "\n".join(map(str, range(200)))}
    post(server, {"id": "printed", "kind": "job", "name": "Printed", "error": error, "logs": logs})
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(f"{server.url}/executions/printed")
    page.emulate_media(media="print")
    for part in (".log", ".message"):
        assert page.locator(part).evaluate("one => one.scrollHeight - one.clientHeight") == 0
    assert page.locator("nav, .copy, .live").evaluate_all("all => all.filter((one) => one.checkVisibility())") == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    context.close()


def test_a_long_error_leaves_the_rest_of_the_page_in_reach(server, browser: Browser):
    frames = [f"/srv/a.py:{number} f" for number in range(100)]
    error = {"type": "E", "message": "word " * 20_000, "frames": frames}
    post(server, {"id": "wordy", "kind": "job", "name": "Wordy", "error": error})
    page = browser.new_page(viewport={"width": 1280, "height": 700})
    page.goto(f"{server.url}/executions/wordy")
    assert page.locator("#live-error").evaluate("one => one.clientHeight") < 900
    page.locator(".message").focus()
    assert page.evaluate("document.activeElement.matches('.message')")  # so that the keyboard can scroll it
    page.close()


@pytest.mark.parametrize("width", [1010, 1200, 1440])
def test_who_ran_it_is_one_line(server, browser: Browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(f"{server.url}/executions")
    box = page.locator("td[data-is=by]", has_text=LONG).bounding_box()
    assert box is not None
    assert 60 < box["width"] < 200
    heights = page.evaluate(
        "[...document.querySelectorAll('td[data-is=by] bdi')].map((one) => one.getBoundingClientRect().height)"
    )
    assert max(heights) < 30
    named = page.locator("td[data-is=what]").first.bounding_box()
    assert named is not None
    assert named["width"] > 150
    page.close()


def test_it_goes_on_under_the_hands_of_its_reader(server, browser: Browser):
    said = {"id": "held", "kind": "job", "name": "Held", "status": "running"}
    item = {"key": "AAPL", "data": {"exchange": "XNAS"}}
    post(server, {**said, "items": [item]})
    page = browser.new_page()
    page.goto(f"{server.url}/executions/held")
    page.locator("#live[data-state=on]").wait_for()
    page.locator(".more-of summary").click()
    page.locator(".copy").click()
    post(server, {**said, "status": "succeeded", "items": [{**item, "rows": 7}], "logs": [{"message": "all done"}]})
    page.locator("h1 .badge.succeeded").wait_for(timeout=10_000)
    page.get_by_text("all done").wait_for()
    assert "succeeded" in page.title()
    assert page.evaluate("document.activeElement.dataset.copy") == "held"
    assert page.get_by_text("XNAS").is_visible()
    page.close()


def test_a_list_does_not_move_under_the_pointer(server, browser: Browser):
    post(server, {"id": "first", "kind": "moving", "name": "First"})
    page = browser.new_page()
    page.goto(f"{server.url}/executions?kind=moving")
    page.locator("#live[data-state=on]").wait_for()
    page.get_by_role("link", name="First").hover()
    post(server, {"id": "second", "kind": "moving", "name": "Second"})
    page.locator("#live", has_text="1 new").wait_for(timeout=10_000)
    assert page.get_by_text("Second").count() == 0
    page.locator("h1").hover()
    page.get_by_text("Second").wait_for(timeout=10_000)
    page.locator("#live", has_text="live").wait_for()
    page.close()


def test_what_is_read_stays_where_it_is(server, browser: Browser):
    said = {"id": "grows", "kind": "job", "name": "Grows", "status": "running"}

    def tell(first: int, logs: int) -> None:
        items = [{"key": f"i{number}", "position": number} for number in range(first, first + 20)]
        lines = [{"message": f"line {number}", "number": number} for number in range(first, first + logs)]
        post(server, {**said, "items": items, "logs": lines})

    tell(0, 30)
    page = browser.new_page(viewport={"width": 1200, "height": 700})
    page.goto(f"{server.url}/executions/grows")
    page.locator("#live[data-state=on]").wait_for()
    page.locator("#live-log").evaluate("log => log.scrollIntoView()")
    page.locator(".log .text").nth(3).evaluate("text => getSelection().selectAllChildren(text)")
    top = top_of(page, "#log-title")
    tell(20, 1)
    page.locator(".item-table tr", has_text="i39").wait_for(state="attached")
    page.locator("#live", has_text="paused").wait_for()
    assert page.evaluate("String(getSelection())") == "line 3"
    assert abs(top_of(page, "#log-title") - top) < 1
    page.evaluate("getSelection().removeAllRanges()")
    page.locator("#live", has_text="live").wait_for()
    tell(40, 30)
    page.locator(".log", has_text="line 69").wait_for()
    assert abs(top_of(page, "#log-title") - top) < 1
    page.close()


def test_rows_that_are_read_stay_where_they_are(server, browser: Browser):
    for number in range(40):
        post(server, {"id": f"row-{number}", "kind": "rows", "name": f"Row {number}", "status": "succeeded"})
    page = browser.new_page(viewport={"width": 1200, "height": 700})
    page.goto(f"{server.url}/executions?kind=rows")
    page.locator("#live[data-state=on]").wait_for()
    page.mouse.move(0, 0)
    page.get_by_text("Row 20", exact=True).evaluate("row => row.scrollIntoView({ block: 'center' })")
    row = "[href*='/row-20?']"
    before = top_of(page, row)
    post(server, {"id": "row-new", "kind": "rows", "name": "Row new", "status": "succeeded"})
    page.get_by_text("Row new").wait_for(state="attached")
    assert abs(top_of(page, row) - before) < 1
    page.close()


def test_that_it_is_live_is_said_once(server, browser: Browser):
    page = browser.new_page()
    page.goto(f"{server.url}/executions?kind=said")
    page.locator("#live[data-state=on]").wait_for()
    page.evaluate(
        "window.said = 0; new MutationObserver((all) => { window.said += all.length; })"
        ".observe(document.querySelector('.live-text'), { childList: true, characterData: true, subtree: true })"
    )
    for number in range(2):
        post(server, {"id": f"said-{number}", "kind": "said", "name": f"Said {number}", "status": "succeeded"})
        page.get_by_text(f"Said {number}").wait_for()
    assert page.evaluate("window.said") == 0
    page.close()


def test_times_are_those_of_the_readers_clock(server, browser: Browser):
    times = {"started_at": "2026-01-31T20:00:00Z", "ended_at": "2026-01-31T20:00:05Z"}
    logs = [{"at": "2026-01-31T20:00:01.250Z", "message": "begun"}]
    post(server, {"id": "timed", "kind": "job", "name": "Timed", **times, "logs": logs})
    context = browser.new_context(timezone_id="Australia/Adelaide")
    page = context.new_page()
    page.goto(f"{server.url}/executions/timed")
    began = page.locator("time[data-at]").first
    assert began.inner_text() == "2026-02-01 06:30:00"
    assert began.get_attribute("title") == "2026-01-31 20:00:00 UTC"
    assert page.locator(".log time").inner_text() == "06:30:01.250"
    assert page.locator(".foot").inner_text().endswith("times are Australia/Adelaide")
    page.goto(server.url)
    assert ":30" in page.locator(".axis").inner_text()
    context.close()


def test_a_log_is_followed_until_its_reader_goes_back(server, browser: Browser):
    said = {"id": "talks", "kind": "job", "name": "Talks", "status": "running"}
    post(server, {**said, "logs": [{"message": f"line {number}"} for number in range(80)]})
    page = browser.new_page()
    page.goto(f"{server.url}/executions/talks")
    page.locator("#live[data-state=on]").wait_for()
    rest = "(log => log.scrollHeight - log.scrollTop - log.clientHeight)(document.querySelector('.log'))"
    assert page.evaluate(rest) < 8
    post(server, {**said, "logs": [{"message": "newest"}]})
    page.get_by_text("newest").wait_for()
    assert page.evaluate(rest) < 8
    page.evaluate("document.querySelector('.log').scrollTop = 40")
    post(server, {**said, "logs": [{"message": "later"}]})
    page.get_by_text("later").wait_for()
    assert page.evaluate("document.querySelector('.log').scrollTop") == 40
    page.close()


def test_a_page_that_nothing_keeps_up_to_date_does_not_call_itself_live(server, browser: Browser):
    for number in range(3):
        post(server, {"id": f"one-{number}", "kind": "page", "name": "One"})
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}/executions?kind=page&limit=1")
    page.locator("#live[data-state=on]").wait_for()
    del asked[:]
    page.locator("a[rel=next]").click()
    page.wait_for_load_state("load")
    assert "cursor=" in page.url
    assert page.locator("#live").is_hidden()
    assert not [url for url in asked if "/api/feed" in url]
    page.close()


def test_it_says_that_what_it_shows_was_deleted(server, browser: Browser):
    post(server, {"id": "doomed", "kind": "job", "name": "Doomed"})
    page = browser.new_page()
    page.goto(f"{server.url}/executions/doomed")
    page.locator("#live[data-state=on]").wait_for()
    request = urllib.request.Request(f"{server.url}/api/executions/doomed", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()
    page.locator("#live", has_text="deleted").wait_for(timeout=10_000)
    page.close()


def test_it_says_so_while_the_store_does_not_answer(server, browser: Browser):
    page = browser.new_page()
    page.goto(f"{server.url}/executions")
    page.locator("#live[data-state=on]").wait_for()
    page.route("**/executions", lambda route: route.fulfill(status=503, body="down"))
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    page.locator("#live", has_text="not live").wait_for(timeout=10_000)
    page.unroute("**/executions")
    page.locator("#live[data-state=on]").wait_for(timeout=15_000)
    page.close()


@pytest.mark.valkey
def test_it_says_so_when_the_store_goes_away_behind_it(tmp_path, browser: Browser):
    with servers.Valkey() as valkey, WebServer(tmp_path, valkey.url) as server:
        page = browser.new_page()
        page.goto(f"{server.url}/executions")
        page.locator("#live[data-state=on]").wait_for()
        valkey.stop()
        page.locator("#live", has_text="not live").wait_for(timeout=20_000)
        valkey.start()
        page.locator("#live[data-state=on]").wait_for(timeout=20_000)
        page.close()


def test_who_signed_out_elsewhere_is_asked_to_sign_in(tmp_path, browser: Browser):
    with WebServer(tmp_path, EXECLOG_TOKENS="0123456789abcdef=admin") as server:
        context = browser.new_context()
        page, other = context.new_page(), context.new_page()
        page.goto(f"{server.url}/executions")
        page.get_by_label("Token").fill("0123456789abcdef")
        page.get_by_role("button", name="Sign in").click()
        page.locator("#live[data-state=on]").wait_for()
        other.goto(server.url)
        other.get_by_role("button", name="Sign out").click()
        other.get_by_label("Token").wait_for()
        page.bring_to_front()
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        page.get_by_label("Token").wait_for(timeout=10_000)
        assert "next=%2Fexecutions" in page.url
        context.close()


def test_an_execution_appears_without_asking(server, browser: Browser):
    page = browser.new_page()
    page.goto(f"{server.url}/executions")
    page.locator("#live[data-state=on]").wait_for()
    post(server, {"id": "fresh", "kind": "job", "name": "Just now", "status": "running"})
    row = page.locator("tr", has_text="Just now")
    row.wait_for(timeout=10_000)
    assert "running" in row.inner_text()
    post(server, {"id": "fresh", "kind": "job", "name": "Just now", "error": "it broke"})
    page.locator("tr", has_text="it broke").wait_for(timeout=10_000)
    page.close()


def test_an_empty_overview_fills_itself(tmp_path, browser: Browser):
    with WebServer(tmp_path) as server:
        page = browser.new_page()
        page.goto(server.url)
        page.locator("#live[data-state=on]").wait_for()
        assert page.get_by_text("Nothing has been recorded yet").count() == 1
        post(server, {"kind": "job", "name": "First ever"})
        page.get_by_text("First ever").first.wait_for(timeout=10_000)
        page.close()


def test_it_says_when_it_is_not_live_any_more(tmp_path, browser: Browser):
    with WebServer(tmp_path) as server:
        page = browser.new_page()
        page.goto(server.url)
        page.locator("#live[data-state=on]").wait_for()
        server.stop()
        page.locator("#live[data-state=lost]").wait_for(timeout=10_000)
        page.close()


@pytest.mark.slow
def test_everybody_can_use_it(server, browser: Browser):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        for path, width in (
            (path, width) for path in (*PATHS, "/login", "/executions/nobody") for width in (390, 1280)
        ):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(server.url + path)
            found = axe.Axe().run(page)
            violations = [(one["id"], one["nodes"][0]["html"][:200]) for one in found.response["violations"]]
            assert violations == [], (path, width, scheme)
        context.close()
