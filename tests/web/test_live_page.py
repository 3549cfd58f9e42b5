"""A page in a real browser: it follows what happens, at both ends of width, light and dark, without a complaint."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import pytest

from webserver import WebServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
PATHS = ("/", "/executions", "/executions/seen", "/subject?kind=job&subject=backfill", "/failures", "/docs")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with WebServer(tmp_path_factory.mktemp("home")) as started:
        said = {"id": "seen", "kind": "job", "subject": "backfill", "name": "Backfill", "rows": 5}
        items = [{"key": "AAPL", "rows": 5}, {"key": "GOOG", "error": "no rows before August 2004"}]
        post(started, {**said, "items": items, "logs": [{"message": "x" * 300}], "params": {"long": "y" * 500}})
        yield started


def post(server: WebServer, *said: dict) -> None:
    request = urllib.request.Request(
        f"{server.url}/api/executions", json.dumps(said).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
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
        for path in (*PATHS, "/login"):
            page.goto(server.url + path)
            found = axe.Axe().run(page)
            violations = [(one["id"], one["nodes"][0]["html"][:200]) for one in found.response["violations"]]
            assert violations == [], (path, scheme)
        context.close()
