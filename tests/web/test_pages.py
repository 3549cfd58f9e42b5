"""The pages: what they show, that nothing in them can run, and where they lead."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from execlog.core.model import Error, Item, LogLine, Status
from execlog.web.app import create_app
from histories import FAILURE, T0, LateClock, execution, mixed, seed
from htmlreader import Reader, listed, read

PAGES = (
    "/",
    "/executions",
    "/executions/run-1?kind=job",
    "/subject?kind=job&subject=ticker",
    "/failures?window=30d",
    "/docs",
)


@pytest.fixture
def seeded(ledger, client):
    ledger.clock = LateClock()
    seed(ledger, *mixed())
    return client


def test_the_overview_shows_what_ran_and_what_failed(seeded):
    text = read(seeded, "/").text
    for said in ("Ended, 24 h", "60.0 %", "Failed to fetch prices: Connection timeout after 30s", "$0.001", "running"):
        assert said in text


def test_a_day_on_which_nothing_ended_is_not_an_empty_chart(ledger, client):
    ledger.clock = LateClock()
    seed(ledger, execution(-3000))
    page = read(client, "/")
    assert "Nothing ended in the last 24 hours" in page.text
    assert "bars" not in [found.get("class") for _, found in page.tags]


def test_an_empty_history_says_how_to_begin(client):
    page = read(client, "/")
    assert "Nothing has been recorded yet" in page.text
    assert "curl http://localhost/api/executions" in page.text


def test_a_list_says_why_each_went_wrong(ledger, client):
    ledger.clock = LateClock()
    unknown = Error("KeyError", "'GOOG'")
    items = tuple(Item(key=key, at=T0, status=Status.FAILED, error=unknown) for key in ("GOOG", "IBM"))
    seed(ledger, execution(0, status=Status.FAILED, error=unknown))
    seed(ledger, execution(1, status=Status.PARTIAL, subject="other", items=items))
    said = {"/": 2, "/executions": 2, "/subject?kind=job&subject=backfill&window=24h": 1}
    assert {path: read(client, path).text.count("KeyError: 'GOOG'") for path in said} == said
    assert "KeyError: 'GOOG', and 1 more" in read(client, "/executions").text


def test_many_items_are_shown_when_asked_for(ledger, client):
    items = [Item(key=f"ok-{at}", at=T0, status=Status.SUCCEEDED, position=at) for at in range(200)]
    bad = [Item(key=f"bad-{at}", at=T0, status=Status.FAILED, position=200 + at) for at in range(3)]
    seed(ledger, execution(0, status=Status.PARTIAL, items=(*items, *bad)))
    page = read(client, "/executions/run-0")
    shown = page.text.partition("Items")[2]
    assert (shown.count("bad-"), shown.count("ok-")) == (3, 50)
    [whole] = [link for link in page.links() if "items=all" in link]
    assert read(client, whole).text.count("ok-") == 200


def test_of_a_traceback_the_line_is_shown_that_says_what_happened(ledger, client):
    ledger.clock = LateClock()
    traceback = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nKeyError: 3\n'
    seed(ledger, execution(0, status=Status.FAILED, error=Error("KeyError", traceback)))
    for path in ("/", "/executions", "/failures?window=24h"):
        said = " ".join(read(client, path).text.split())
        assert re.search("KeyError:? 3", said)
        assert "Traceback" not in said, path
    assert 'File "a.py", line 1' in read(client, "/executions/run-0").text


def test_how_long_it_has_been_running_is_there_without_scripts(ledger, client):
    ledger.clock = LateClock()
    seed(ledger, execution(0, status=Status.RUNNING, ended_at=None, duration=None))
    for path in ("/", "/executions", "/executions/run-0"):
        assert re.search(r"data-since=[^>]*>10 min<", client.get(path).text), path


def test_a_failure_of_no_subject_says_when_it_last_came(ledger, client):
    ledger.clock = LateClock()
    seed(ledger, execution(0, subject=None, status=Status.FAILED, error=FAILURE))
    assert re.search(r'class="where">last\s', client.get("/failures?window=24h").text)


def test_a_sentence_goes_on_left_to_right_after_a_name_that_does_not(ledger, client):
    seed(ledger, execution(0, subject="דוח", status=Status.FAILED, error=FAILURE))
    assert '<bdi dir="ltr">דוח has not succeeded before' in client.get("/executions/run-0").text


def test_what_failed_among_thousands_is_shown(ledger, client):
    bad = set(range(1_500, 3_000, 5))
    items = tuple(
        Item(key=f"i-{at}", at=T0, status=Status.FAILED if at in bad else Status.SUCCEEDED, position=at)
        for at in range(3_000)
    )
    seed(ledger, execution(0, status=Status.PARTIAL, items=items))
    page = read(client, "/executions/run-0")
    assert listed(page) == 250
    assert "i-1500\n" in page.text
    assert "2,750 more are not shown" in page.text
    [first] = [link for link in page.links() if "items=all" in link]
    [paged] = [link for link in page.links() if link.startswith("/api/executions/run-0/items")]
    whole = read(client, first)
    assert listed(whole) == 1_000
    assert "i-2995\n" in whole.text
    assert "2,000 more are not shown · all of them" in whole.text
    assert client.get(paged).json()["total"] == 3_000


def test_one_failure_of_a_thousand_is_seen_in_the_bar(ledger, client):
    items = [Item(key=f"i-{at}", at=T0, status=Status.SUCCEEDED, position=at) for at in range(999)]
    seed(ledger, execution(0, status=Status.PARTIAL, items=(*items, Item(key="bad", at=T0, status=Status.FAILED))))
    tags = read(client, "/executions/run-0").tags
    widths = {
        str(found["class"]): float(str(found["width"])) for tag, found in tags if tag == "rect" and "class" in found
    }
    assert (widths["succeeded"], widths["failed"]) == (98.5, 1.5)


def test_what_is_left_out_is_said_and_can_be_reached(ledger, client):
    logs = tuple(LogLine(T0 + at, at, "info", f"line {at}") for at in range(1_001))
    inside = [
        execution(1 + at, parent_id="run-0", status=Status.FAILED if at == 0 else Status.SUCCEEDED) for at in range(101)
    ]
    again = [execution(200 + at, retry_of="run-0", root_id="run-0") for at in range(101)]
    seed(ledger, execution(0, logs=logs), *inside, *again)
    page = read(client, "/executions/run-0")
    assert "the last 1,000 of 1,001 lines" in page.text
    assert "the newest 100\n" in page.text
    assert "the first and the newest" in page.text
    [lines] = [link for link in page.links() if link.startswith("/api/executions/run-0/logs")]
    assert client.get(lines).json()["logs"][0]["message"] == "line 0"
    every, bad = [link for link in page.links() if "parent_id=run-0" in link]
    assert [listed(read(client, f"{link}&limit=200")) for link in (every, bad)] == [101, 1]
    [retries] = [link for link in page.links() if "root_id=run-0" in link]
    assert listed(read(client, f"{retries}&limit=200")) == 101


def test_a_subject_is_shown_over_one_window(ledger, client):
    ledger.clock = LateClock()
    seed(ledger, execution(0), execution(-3000, id="before"))
    assert listed(read(client, "/subject?kind=job&subject=backfill&window=24h")) == 1
    assert listed(read(client, "/subject?kind=job&subject=backfill&window=7d")) == 2
    seed(ledger, execution(-3000, id="old", subject="rare"))
    page = read(client, "/subject?kind=job&subject=rare&window=24h")
    assert "Nothing ran in this time" in page.text
    assert "/executions?kind=job&subject=rare" in page.links()


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


def test_one_long_word_is_cut_and_not_left_out(ledger, client):
    ledger.clock = LateClock()
    word = "x" * 3000
    items = (Item(key="A", at=T0, status=Status.FAILED, error=Error("E", word)),)
    seed(ledger, execution(0, status=Status.FAILED, error=Error("ValueError", word), items=items))
    for path in ("/", "/executions", "/failures?window=30d", "/executions/run-0"):
        assert "x" * 100 in read(client, path).text, path


def test_a_name_that_cannot_be_seen_is_none(ledger, client):
    seed(ledger, execution(0, name="  ", subject="\u200b"), execution(1, name=" \n ", subject="prices"))
    page = client.get("/executions").text
    assert re.findall(r'class="name"[^>]*><bdi>(.*?)</bdi>', page) == ["prices", "run-0"]


def test_what_was_recorded_does_not_turn_around_what_follows(ledger, client):
    ledger.clock = LateClock()
    turned = "\u202eolleh"
    said = {"name": turned, "subject": turned, "actor": turned, "namespace": turned}
    seed(ledger, execution(0, **said, status=Status.FAILED, error=Error("E", turned)))
    for path in (
        "/",
        "/executions",
        "/failures?window=30d",
        "/executions/run-0",
        f"/subject?kind=job&{urlencode(said)}",
    ):
        shown = re.sub(r"<title>.*?</title>|<option.*?</option>", "", client.get(path).text)
        assert turned in shown
        assert not re.findall(
            rf"(?<!<bdi>)(?<!<bdi>E: )(?<!<bdi class=\"dim\">)(?<!<bdi class=\"mono dim\">){turned}<", shown
        ), path


def test_a_connection_is_called_by_its_name_and_its_queries_by_theirs(ledger, client):
    ledger.clock = LateClock()
    queries = [
        execution(number, kind="query", subject="analytics", name=f"select {number}", input=f"select\n  {number}")
        for number in range(3)
    ]
    seed(ledger, *queries, execution(5))
    page = client.get("/subject?kind=query&subject=analytics&window=30d").text
    assert "<h1><bdi>analytics</bdi></h1>" in page
    assert re.findall(r"<bdi>(select \d)</bdi>", page) == ["select 2", "select 1", "select 0"]
    assert "<bdi>analytics</bdi></a>" in client.get("/").text
    assert "<h1><bdi>Backfill</bdi></h1>" in client.get("/subject?kind=job&subject=backfill").text
    one = client.get("/executions/run-1").text
    assert ">select\n  1</pre>" in one
    assert re.search(r"<details[^>]* open><summary><h2>Input", one)


@pytest.mark.parametrize(
    ("status", "total", "said"),
    [
        (Status.RUNNING, None, "2 done"),
        (Status.RUNNING, 14, "2 of 14 succeeded, 12 to go"),
        (Status.CANCELLED, 14, "2 of 14 succeeded, 12 not run"),
    ],
)
def test_progress_says_what_is_known(ledger, client, status, total, said):
    done = [Item(key=key, at=T0, status=Status.SUCCEEDED, position=at) for at, key in enumerate("AB")]
    waits = Item(key="C", at=T0, status=Status.QUEUED, position=2)
    seed(ledger, execution(0, status=status, total=total, items=(*done, waits)))
    text = " ".join(read(client, "/executions/run-0").text.split())
    assert said in text
    assert ("not run C" in text) == (status is Status.CANCELLED)
    assert (" 2 done " in " ".join(read(client, "/executions").text.split())) == (said == "2 done")


def test_what_did_not_run_itself_and_what_each_cost_is_said(ledger, client):
    asks = Item(key="asks", at=T0, status=Status.SUCCEEDED, tokens_input=1000, tokens_output=200, cost_nano=225_000)
    other = Item(key="alert", at=T0, status=Status.SUCCEEDED, data={"skipped": "calm"})
    load = replace(other, key="load", data={"reusedFrom": "run-9"})
    counts = replace(other, key="counts", data={"skipped": 3, "reusedFrom": 3})
    seed(ledger, execution(0, kind="workflow", items=(asks, other, load, counts)))
    page = client.get("/executions/run-0?kind=workflow")
    text = " ".join(read(client, "/executions/run-0?kind=workflow").text.split())
    assert "skipped alert calm" in text
    assert "succeeded load taken over from run-9" in text
    assert "succeeded counts" in text
    assert "1,200 $0.000225" in text
    assert '<a class="mono" href="/executions/run-9?kind=workflow' in page.text


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


def test_the_manual_has_every_documented_route(client, app):
    text = read(client, "/docs").text
    for row in app.state.table.routes:
        assert (row.path in text) == row.documented or not row.documented


def test_others_that_failed_like_this_are_offered_where_there_are_some(ledger, client):
    seed(ledger, execution(1, status=Status.FAILED, error=FAILURE))
    assert "Others that failed like this" not in client.get("/executions/run-1").text
    seed(ledger, execution(2, status=Status.FAILED, error=FAILURE))
    page = Reader(client.get("/executions/run-1").text)
    assert "Others that failed like this" in page.text
    [link] = [link for link in page.links() if "fingerprint=" in link]
    assert "/executions/run-2?kind=job" in Reader(client.get(link).text).links()
