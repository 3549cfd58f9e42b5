"""What a browser gets besides pages: the way to sign in and out, and where an address leads that is none."""

from __future__ import annotations

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from execlog.kind import Kind, Route
from execlog.web.app import create_app
from histories import mixed, seed
from htmlreader import Reader

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def browser_client(ledger):
    settings = msgspec.structs.replace(
        ledger.settings, tokens={"0123456789abcdef": "viewer", "fedcba9876543210": "viewer:alice"}
    )
    seed(ledger, *mixed())
    return TestClient(create_app(ledger, settings=settings), base_url="http://localhost", follow_redirects=False)


def test_only_who_has_signed_in_can_sign_out(browser_client, client):
    for path in ("/login", "/docs", "/nowhere"):
        assert "Sign out" not in browser_client.get(path, headers=BROWSER).text
    browser_client.post("/login", data={"token": "0123456789abcdef"})
    for path in ("/", "/docs", "/executions/nobody", "/nowhere"):
        assert "Sign out" in browser_client.get(path, headers=BROWSER).text
    assert client.get("/login", follow_redirects=False).headers["location"] == "/"


def test_who_is_not_known_signs_in_first(browser_client):
    sent = browser_client.get("/executions?kind=job")
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2Fexecutions%3Fkind%3Djob")
    form = Reader(browser_client.get(sent.headers["location"]).text)
    [wanted] = [attributes["value"] for tag, attributes in form.tags if attributes.get("name") == "next"]
    wrong = browser_client.post("/login", data={"token": "wrong", "next": wanted})
    assert wrong.status_code == 401
    assert "not known" in wrong.text
    right = browser_client.post("/login", data={"token": "0123456789abcdef", "next": wanted})
    assert (right.status_code, right.headers["location"]) == (303, "/executions?kind=job")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert browser_client.get("/executions?kind=job").status_code == 200
    assert browser_client.get("/api/executions").status_code == 200
    out = browser_client.post("/logout")
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert browser_client.get("/executions").status_code == 303


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nb"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(browser_client, wanted):
    right = browser_client.post("/login", data={"token": "0123456789abcdef", "next": wanted})
    assert (right.status_code, right.headers["location"]) == (303, "/")


def test_a_page_of_a_limited_token_shows_only_its_own(browser_client):
    browser_client.post("/login", data={"token": "fedcba9876543210"})
    for path in ("/", "/executions", "/failures?window=30d"):
        text = browser_client.get(path).text
        assert "GOOGL" not in text
        assert "run-1" not in text
    assert browser_client.get("/executions/run-1").status_code == 404
    assert browser_client.get("/executions/run-5").status_code == 200
    assert browser_client.get("/subject?kind=job&subject=ticker").status_code == 404


def test_another_site_cannot_sign_anybody_in(browser_client):
    forged = browser_client.post(
        "/login", data={"token": "0123456789abcdef"}, headers={"Origin": "https://evil.example"}
    )
    assert forged.status_code == 403


@pytest.mark.parametrize("path", ["/nowhere", "/executions/a/b", "/failures/x", "/logout", "/..%2f.."])
def test_a_browser_gets_a_page_where_nothing_is(client, path):
    answer = client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (
        405 if path == "/logout" else 404,
        "text/html; charset=utf-8",
    )
    assert client.get(path).headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/nowhere", "/api/executions/", "/scheduler/nothing", "/static/a/b"])
def test_programs_get_a_problem_document_whatever_they_accept(ledger, path):
    kind = Kind(name="job", words={}, routes=(Route(method="GET", path="/scheduler/x", handler=print, summary="x"),))
    client = TestClient(create_app(ledger, [kind]), base_url="http://localhost")
    answer = client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("root", ["", "/tools"])
def test_a_slash_too_many_leads_to_the_page(ledger, root):
    seed(ledger, *mixed())
    app = Starlette(routes=[Mount(root, create_app(ledger))]) if root else create_app(ledger)
    client = TestClient(app, base_url="http://localhost")
    for path in ("/executions/", "/executions/run-1/", "/failures/"):
        answer = client.get(f"{root}{path}?window=30d", headers=BROWSER)
        assert (answer.status_code, str(answer.url)) == (200, f"http://localhost{root}{path[:-1]}?window=30d")
