"""The general API: what is asked, what comes back."""

from __future__ import annotations

import json

import pytest

from execlog.core.model import Status
from execlog.history.view import to_json
from histories import SECOND, T0, execution, mixed, seed


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["id"] for entry in answer.json()["executions"]]


@pytest.fixture
def ledger(each_ledger):
    return each_ledger


def test_the_list_is_newest_first_and_tells_everything_of_the_summary(seeded):
    answer = seeded.get("/api/executions")
    assert ids(answer) == ["run-5", "run-4", "run-3", "run-2", "run-1", "run-0"]
    newest = answer.json()["executions"][0]
    assert newest["created_at"] == "2026-01-01T07:05:00Z"
    assert newest["ended_at"] == "2026-01-01T07:05:10Z"
    assert newest["duration"] == 0.25
    assert newest["cost"] == 0.001
    assert newest["tokens"] == {"input": 100, "output": 50, "total": 150}
    assert "items" not in newest
    assert answer.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=failed&status=partial", ["run-2", "run-1"]),
        ("status=failed,partial", ["run-2", "run-1"]),
        ("kind=workflow", ["run-5"]),
        ("namespace=shop", ["run-5"]),
        ("subject=ticker", ["run-3", "run-2"]),
        ("actor=alice", ["run-5"]),
        ("since=2026-01-01T07:04:00Z", ["run-5", "run-4"]),
        ("since=2026-01-01T07:04:00", ["run-5", "run-4"]),
        ("until=2026-01-01T08:01:00%2B01:00", ["run-0"]),
        (f"since={(T0 + 5 * 60 * SECOND) // SECOND}", ["run-5"]),
        ("item=GOOGL&item_status=failed", ["run-1"]),
        ("item=GOOGL&item_status=succeeded", []),
        ("text=connection%20timeout", ["run-2", "run-1"]),
        ("max_duration=1", ["run-5"]),
        ("min_duration=0.25&kind=workflow", ["run-5"]),
        ("min_duration=250ms&kind=workflow", ["run-5"]),
        ("min_cost=0.001", ["run-5"]),
        ("min_cost=0.001000001", []),
        ("max_cost=0.001&kind=workflow", ["run-5"]),
        ("max_cost=0.0001&max_tokens=0&kind=workflow", []),
        ("max_cost=0&max_tokens=0", ["run-4", "run-3", "run-2", "run-1", "run-0"]),
        ("tags=env:prod", ["run-1"]),
        ("tags=env:prod&tags=a:b", []),
        ("root_id=run-2", ["run-3"]),
        ("parent_id=run-1", ["run-4"]),
        ("id=run-1&id=run-3", ["run-3", "run-1"]),
        ("min_tokens=150", ["run-5"]),
        ("sort=oldest&limit=2", ["run-0", "run-1"]),
        ("sort=costliest&limit=1", ["run-5"]),
        ("limit=2&offset=1", ["run-4", "run-3"]),
        ("kind=&status=&subject=ticker", ["run-3", "run-2"]),
    ],
)
def test_every_filter_narrows(seeded, query, expected):
    assert ids(seeded.get(f"/api/executions?{query}")) == expected


def test_a_span_counts_back_from_now(ledger, client):
    now = ledger.clock.now()
    seed(ledger, execution(0, id="fresh", started_at=now - 3_000 * SECOND), execution(1, id="old"))
    assert ids(client.get("/api/executions?since=1h")) == ["fresh"]


def test_pages_follow_each_other_without_overlap(ledger, client):
    seed(ledger, *(execution(number) for number in range(7)))
    seen, cursor = [], ""
    while cursor is not None:
        answer = client.get(f"/api/executions?limit=3&cursor={cursor}")
        seen += ids(answer)
        cursor = answer.json()["next_cursor"]
    assert seen == [f"run-{number}" for number in reversed(range(7))]


def test_a_total_comes_where_it_is_asked_for(seeded):
    assert seeded.get("/api/executions?limit=1").json()["total"] is None
    assert seeded.get("/api/executions?limit=1&count=true&kind=job").json()["total"] == 5


def test_parts_come_where_they_are_asked_for(seeded):
    [found] = seeded.get("/api/executions?id=run-1&include=items,logs,detail").json()["executions"]
    assert [item["key"] for item in found["items"]] == ["AAPL", "GOOGL"]
    assert found["items"][1]["error"]["type"] == "ConnectionError"
    assert found["params"] == {"year": 2004}
    assert [line["message"] for line in found["logs"]] == ["begun", "GOOGL is late"]
    refused = seeded.get("/api/executions?include=detail&limit=101")
    assert (refused.status_code, refused.json()["field"]) == (422, "limit")


def test_one_execution_comes_whole(seeded):
    found = seeded.get("/api/executions/run-1").json()
    assert found["counts"] == {"total": 2, "succeeded": 1, "failed": 1, "open": 0}
    assert found["items"][1]["error"] == {
        "type": "ConnectionError",
        "message": "Failed to fetch prices: Connection timeout after 30s",
        "frames": ["prices.py:12 fetch"],
        "fingerprint": found["items"][1]["error"]["fingerprint"],
    }
    assert [child["id"] for child in found["children"]] == ["run-4"]
    assert found["attempts"] == []
    assert found["truncated"] == []


@pytest.mark.parametrize("asked", ["run-2", "run-3"])
def test_every_attempt_shows_the_whole_chain(seeded, asked):
    found = seeded.get(f"/api/executions/{asked}").json()
    assert [attempt["id"] for attempt in found["attempts"]] == ["run-2", "run-3"]


def test_two_of_one_id_are_told_apart_by_kind(ledger, client):
    seed(ledger, execution(0, id="same"), execution(1, id="same", kind="query"))
    assert client.get("/api/executions/same").json()["kind"] == "query"
    assert client.get("/api/executions/same?kind=job").json()["kind"] == "job"
    assert client.get("/api/executions/same?kind=workflow").status_code == 404


def test_a_failure_is_explained(seeded):
    found = seeded.get("/api/executions/run-2/explanation").json()
    assert found["error"]["type"] == "ConnectionError"
    assert found["occurrences"] is None or found["occurrences"]["count"] == 2
    assert found["summary"][0].startswith("ConnectionError: Failed to fetch prices")
    assert seeded.get("/api/executions/nobody/explanation").status_code == 404
    page = seeded.get("/executions/run-2").text
    assert all(sentence in page for sentence in found["summary"][1:])


def test_two_executions_are_compared(seeded):
    found = seeded.get("/api/executions/run-1/comparison?other=run-0").json()
    assert (found["before"]["id"], found["after"]["id"]) == ("run-0", "run-1")
    assert found["differences"][0] == {"path": "params.year", "before": None, "after": 2004}
    assert {item["key"]: item["after"] for item in found["items"]} == {"AAPL": "succeeded", "GOOGL": "failed"}
    assert seeded.get("/api/executions/run-1/comparison?other=run-5").status_code == 404
    elsewhere = "other=run-5&other_kind=workflow&other_namespace=shop"
    assert seeded.get(f"/api/executions/run-1/comparison?{elsewhere}").status_code == 200
    unasked = seeded.get("/api/executions/run-1/comparison").json()
    assert (unasked["before"]["id"], unasked["after"]["id"]) == ("run-0", "run-1")
    assert seeded.get("/api/executions/run-0/comparison").status_code == 404


def test_items_and_logs_come_in_pages(seeded):
    items = seeded.get("/api/executions/run-1/items?limit=1&offset=1").json()
    assert ([item["key"] for item in items["items"]], items["total"]) == (["GOOGL"], 2)
    logs = seeded.get("/api/executions/run-1/logs?limit=1").json()
    assert ([line["message"] for line in logs["logs"]], logs["total"]) == (["begun"], 2)


def test_what_is_not_there_is_404(client):
    answer = client.get("/api/executions/nobody")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:execlog:problem:not-found",
        "title": "There is no such thing here",
        "status": 404,
        "detail": "no execution 'nobody'",
        "instance": "/api/executions/nobody",
    }


def test_statistics_add_up(seeded):
    stats = seeded.get("/api/stats?group_by=kind").json()
    assert stats["overall"]["total"] == 5
    assert stats["overall"]["success_rate"] == 60.0
    assert stats["open"] == {"queued": 0, "running": 1}
    assert [(group["key"], group["total"]) for group in stats["groups"]] == [("job", 4), ("workflow", 1)]
    assert stats["groups"][0]["p50"] == pytest.approx(10.0, rel=0.011)
    assert stats["groups"][1]["cost"] == 0.001


def test_statistics_over_nothing_are_zero(client):
    overall = client.get("/api/stats").json()["overall"]
    assert (overall["total"], overall["success_rate"], overall["mean_duration"], overall["cost"]) == (0, 0.0, None, 0.0)


def test_statistics_by_time_keep_their_order_and_their_window(seeded):
    stats = seeded.get("/api/stats?group_by=minute&since=2026-01-01T07:01:00Z&until=2026-01-01T07:03:00Z").json()
    assert [group["key"] for group in stats["groups"]] == ["2026-01-01T07:01:00Z", "2026-01-01T07:02:00Z"]
    limited = seeded.get("/api/stats?group_by=minute&limit=2").json()
    assert (len(limited["groups"]), limited["truncated"], limited["overall"]["total"]) == (2, True, 5)


def test_a_thousand_thousandths_of_a_dollar_are_one(ledger, client):
    for _ in range(10):
        lines = [json.dumps({"name": "call", "cost": 0.001}) for _ in range(100)]
        sent = client.post(
            "/api/executions", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
        )
        assert sent.status_code == 202
    assert ledger.flush()
    answer = client.get("/api/stats")
    assert '"cost":1.0}' in answer.text
    assert answer.json()["overall"]["total"] == 1000


def test_failures_are_grouped_by_what_they_have_in_common(seeded):
    [group] = seeded.get("/api/failures").json()["failures"]
    assert (group["type"], group["count"], group["subjects"]) == ("ConnectionError", 2, ["backfill", "ticker"])
    assert group["last"] == {"kind": "job", "namespace": "", "id": "run-2"}
    assert seeded.get("/api/failures?subject=ticker").json()["failures"][0]["count"] == 1
    assert seeded.get("/api/failures?text=nothing%20like%20it").json()["failures"] == []


def test_pages_of_a_window_back_from_now_go_on(seeded):
    asked = {"since": "3650d", "limit": 1}
    whole = [entry["id"] for entry in seeded.get("/api/executions", params={"since": "3650d"}).json()["executions"]]
    found, cursor = [], None
    while len(found) < len(whole):
        page = seeded.get("/api/executions", params=asked | ({"cursor": cursor} if cursor else {}))
        assert page.status_code == 200
        found += [entry["id"] for entry in page.json()["executions"]]
        cursor = page.json()["next_cursor"]
    assert found == whole
    assert cursor is None


def test_the_latest_of_each_subject(seeded):
    assert ids(seeded.get("/api/latest")) == ["run-5", "run-4", "run-3"]
    assert ids(seeded.get("/api/latest?kind=job&limit=1")) == ["run-4"]


def test_words_for_several_statuses_are_those_of_the_command_line(seeded):
    from execlog.cli.options import STATUS_GROUPS

    for word, group in STATUS_GROUPS.items():
        for path in ("executions", "latest", "failures"):
            by_word, by_name = (seeded.get(f"/api/{path}?status={words}").json() for words in (word, ",".join(group)))
            assert by_word == by_name
    assert seeded.get("/api/executions?status=bad,ended").json()["executions"]


def test_failures_take_every_filter(seeded):
    for query in ("status=timed_out", "item=nothing", "min_cost=1", "tags=a:b", "min_duration=90s", "name=nothing"):
        assert seeded.get(f"/api/failures?{query}").status_code == 200
    assert seeded.get("/api/failures?item=nothing").json() == {"failures": []}


def test_the_latest_of_one_subject_or_else_of_a_name(ledger, client):
    said = [{"id": "old", "subject": "s"}, {"id": "new", "subject": "s"}, {"id": "named", "subject": "t", "name": "n"}]
    for one in said:
        assert client.post("/api/executions", json=one).status_code == 202
    assert ledger.flush()
    for subject, expected in (("s", ["new"]), ("n", ["named"]), ("nothing", [])):
        found = client.get(f"/api/latest?subject={subject}").json()["executions"]
        assert [one["id"] for one in found] == expected


def test_a_deleted_execution_stays_deleted(ledger, client):
    seed(ledger, *mixed())
    assert client.delete("/api/executions/run-4").status_code == 204
    assert client.delete("/api/executions/run-4").status_code == 404
    assert client.get("/api/executions/run-4").status_code == 404
    seed(ledger, execution(4, status=Status.SUCCEEDED))
    assert client.get("/api/executions/run-4").status_code == 404


def test_what_was_accepted_before_a_delete_does_not_come_back(ledger, client):
    client.post("/api/executions", json={"id": "x", "name": "n", "status": "running"})
    assert client.delete("/api/executions/x").status_code == 204
    assert ledger.flush()
    assert client.get("/api/executions/x").status_code == 404


def test_head_is_get_without_its_body(seeded):
    whole, head = seeded.get("/api/executions"), seeded.head("/api/executions")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_money_is_printed_from_its_integer():
    from execlog.history.view import dollars

    assert to_json([dollars(nano) for nano in (0, 1_000_000, 10**9, 1_234_567_891)]) == b"[0.0,0.001,1.0,1.234567891]"
