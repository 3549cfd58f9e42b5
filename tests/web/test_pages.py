"""The pages: what they show, that nothing in them can run, and where they lead."""

from __future__ import annotations

import html.parser
import re

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from execlog.core.model import Error, Status
from execlog.web.app import create_app
from histories import T0, execution, mixed, seed

PAGES = (
    "/",
    "/executions",
    "/executions/run-1?kind=job",
    "/subject?kind=job&subject=ticker",
    "/failures?window=30d",
    "/docs",
    "/login",
)


class Reader(html.parser.HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def links(self) -> list[str]:
        return [str(found[name]) for _, found in self.tags for name in ("href", "src", "action") if name in found]


class LateClock:
    """A few minutes after the executions of `mixed`."""

    def now(self) -> int:
        return T0 + 600_000_000

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def seeded(ledger, client):
    ledger.clock = LateClock()
    seed(ledger, *mixed())
    return client


def read(client: TestClient, path: str) -> Reader:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Reader(answer.text)


def test_the_overview_shows_what_ran_and_what_failed(seeded):
    text = read(seeded, "/").text
    for said in ("Ended, 24 h", "60.0 %", "Failed to fetch GOOGL: Connection timeout after 30s", "$0.001", "running"):
        assert said in text


def test_an_empty_history_says_how_to_begin(client):
    page = read(client, "/")
    assert "Nothing has been recorded yet" in page.text
    assert "curl http://localhost/api/executions" in page.text


def test_the_list_is_narrowed_by_its_form_and_leads_on(seeded, ledger):
    page = read(seeded, "/executions?status=failed&kind=&text=&since=")
    assert page.text.count("Failed to fetch GOOGL") == 1
    seed(ledger, *(execution(number, id=f"more-{number}") for number in range(60)))
    [following] = [link for link in read(seeded, "/executions?kind=job").links() if "cursor=" in link]
    assert "kind=job" in following
    assert "more-" in seeded.get(f"/executions{following}").text


def test_an_execution_shows_its_error_items_log_attempts_and_children(seeded):
    text = read(seeded, "/executions/run-1?kind=job").text
    for said in ("1 of 2 succeeded", "GOOGL is late", "AAPL", '"year": 2004', "env: prod", "Ran inside"):
        assert said in re.sub(r"\s+", " ", text)
    failed = read(seeded, "/executions/run-2")
    assert "ConnectionError" in failed.text
    assert "What is known about it" in failed.text
    assert "Attempts" in failed.text
    assert "/executions/run-3?kind=job" in failed.links()


def test_failed_items_come_first(ledger, client):
    seed(ledger, *mixed())
    text = read(client, "/executions/run-1").text
    assert text.index("GOOGL") < text.index("AAPL")


def test_a_subject_shows_its_history(seeded):
    page = read(seeded, "/subject?kind=job&subject=ticker&window=30d")
    assert "run-2" in page.text
    assert "run-3" in page.text
    assert "run-0" not in page.text
    assert client_status(seeded, "/subject?kind=job&subject=nothing") == 404


def client_status(client: TestClient, path: str) -> int:
    return client.get(path).status_code


def test_what_is_not_there_is_said_as_a_page(client):
    for path, status in (("/executions/nobody", 404), ("/executions/..%2f", 422), ("/executions?limit=0", 422)):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert str(status) in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_no_page_holds_anything_that_runs_or_comes_from_elsewhere(seeded, path):
    page = read(seeded, path)
    for tag, attributes in page.tags:
        assert "style" not in attributes, (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/static/live.js?v=")
    for link in page.links():
        assert link.startswith(("/", "#", "?")), link


@pytest.mark.parametrize(
    "path", ["/", "/executions", "/executions/evil", "/subject?kind=job&subject=%3Cb%3E", "/failures?window=30d"]
)
def test_what_was_recorded_is_shown_and_never_run(ledger, client, path):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    ledger.clock = LateClock()
    said = execution(
        0,
        id="evil",
        name=evil,
        subject="<b>",
        actor=evil,
        status=Status.FAILED,
        error=Error(evil, evil, (evil,)),
        tags={evil: evil},
        params={evil: evil},
    )
    seed(ledger, said)
    page = read(client, path)
    assert not [tag for tag, _ in page.tags if tag in {"img", "b"}]
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [
        attributes for tag, attributes in page.tags if tag == "script" and attributes.get("src")
    ]
    assert "<script>alert(1)</script>" in page.text


def test_every_link_of_every_page_leads_somewhere(seeded):
    seen: set[str] = set()
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        answer = seeded.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        if answer.headers["content-type"].startswith("text/html"):
            links = {link.partition("#")[0] for link in Reader(answer.text).links()}
            fresh = {link for link in links if link.startswith("/") and not link.startswith("/logout")} - seen
            seen |= fresh
            waiting += fresh
    assert len(seen) > 20


def test_links_stay_below_the_mount(ledger):
    seed(ledger, *mixed())
    client = TestClient(Starlette(routes=[Mount("/tools", create_app(ledger))]), base_url="http://localhost")
    page = Reader(client.get("/tools/").text)
    assert page.links()
    assert all(link.startswith(("/tools/", "#")) for link in page.links())
    [body] = [attributes for tag, attributes in page.tags if tag == "body"]
    assert str(body["data-feed"]).startswith("/tools/api/feed?last_event_id=")


def test_files_are_kept_by_browsers_as_long_as_they_do_not_change(client):
    [sheet] = [link for link in read(client, "/").links() if "style.css" in link]
    assert "immutable" in client.get(sheet).headers["cache-control"]
    assert client.get("/static/style.css").headers["cache-control"] == "no-store"
    assert client.get("/static/live.js").headers["content-type"] == "text/javascript; charset=utf-8"
    for name in ("nothing.css", "..%2fapp.py", "app.py"):
        assert client.get(f"/static/{name}").status_code in {404, 422}


@pytest.fixture
def browser_client(ledger):
    settings = msgspec.structs.replace(
        ledger.settings, tokens={"0123456789abcdef": "viewer", "fedcba9876543210": "viewer:alice"}
    )
    seed(ledger, *mixed())
    return TestClient(create_app(ledger, settings=settings), base_url="http://localhost", follow_redirects=False)


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


def test_the_manual_has_every_documented_route(client, app):
    text = read(client, "/docs").text
    for row in app.state.table.routes:
        assert (row.path in text) == row.documented or not row.documented


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"), (0, "0 µs"), (0.00035, "350 µs"), (0.0123, "12.3 ms"), (1.5, "1.5 s"), (59.99, "60 s"),
        (200, "3 min 20 s"), (7500, "2 h 5 min"), (3600, "1 h"), (356_400, "4 d 3 h"),
    ],
)  # fmt: skip
def test_durations_have_the_unit_that_fits(seconds, said):
    from execlog.web.wording import duration

    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (999_949, "1.00M"), (2_490_000, "2.49M"), (123_456_789, "123M"),
        (5e9, "5.00bn"),
    ],
)  # fmt: skip
def test_counts_are_short(count, said):
    from execlog.web.wording import short

    assert short(count) == said


def test_rates_are_whole_only_where_they_are_exact():
    from execlog.web.wording import percent

    assert [percent(share) for share in (0, 0.04, 50, 99.97, 100)] == ["0 %", "0.0 %", "50.0 %", "99.9 %", "100 %"]
