"""The five routes of the history: shapes, bounds, filters, sums, and who may see what."""

from __future__ import annotations

import pytest

from every_store import EVERY_STORE
from execlog.core.filter import Filter
from execlog.kinds.queries import ExecutionTracker


@pytest.fixture(params=EVERY_STORE)
def store_url(request, new_store_url):
    return new_store_url(request.param)


DAY = 86_400_000_000


@pytest.fixture
def log(ledger):
    tracker = ExecutionTracker(ledger)

    def write(**columns):
        said = {"query": "select 1", "database_type": "kdb", "user_id": "ann"} | columns
        execution_id = tracker.log_execution_background(**said)
        assert execution_id is not None
        assert ledger.flush()
        return execution_id

    return write


def test_a_row_has_every_column(client, log):
    log(
        execution_id="exec-abc-123",
        query="SELECT * FROM users",
        database_type="starburst",
        status="success",
        execution_time=0.234,
        total_rows=1500,
        started_at="2025-11-24T10:30:00Z",
        conversation_id="talk",
    )
    answer = client.get("/api/v1/executions/ann")
    assert answer.status_code == 200
    body = answer.json()
    number = body["executions"][0].pop("id")
    assert isinstance(number, int)
    assert 0 < number < 2**53
    assert body == {
        "user_id": "ann",
        "executions": [
            {
                "execution_id": "exec-abc-123",
                "user_id": "ann",
                "conversation_id": "talk",
                "query": "SELECT * FROM users",
                "database_type": "starburst",
                "query_complexity": None,
                "status": "success",
                "execution_time": 0.234,
                "total_rows": 1500,
                "returned_rows": None,
                "page": 0,
                "page_size": 100,
                "error_message": None,
                "error_type": None,
                "started_at": "2025-11-24T10:30:00Z",
                "completed_at": "2025-11-24T10:30:00.234000Z",
                "connection_params": {},
                "request_metadata": {},
                "response_metadata": {},
            }
        ],
        "count": 1,
        "limit": 100,
        "offset": 0,
    }


def test_the_number_of_a_row_stays(client, log):
    log(execution_id="one")
    before = client.get("/api/v1/executions/ann").json()["executions"][0]["id"]
    log(execution_id="two")
    log(execution_id="one", total_rows=5)
    rows = {row["execution_id"]: row["id"] for row in client.get("/api/v1/executions/ann").json()["executions"]}
    assert rows["one"] == before
    assert rows["two"] != before


def test_pages_are_newest_first_and_filtered_before_they_are_cut(client, log):
    for number in range(6):
        log(
            execution_id=f"e{number}",
            started_at=f"2025-01-0{number + 1}T00:00:00Z",
            status="success" if number % 2 else "failed",
            database_type="kdb" if number < 4 else "starburst",
        )
    log(execution_id="other", user_id="bob")

    def ids(query):
        body = client.get(f"/api/v1/executions/ann{query}").json()
        assert body["count"] == len(body["executions"])
        return [row["execution_id"] for row in body["executions"]]

    assert ids("") == ["e5", "e4", "e3", "e2", "e1", "e0"]
    assert ids("?limit=2") == ["e5", "e4"]
    assert ids("?limit=2&offset=2") == ["e3", "e2"]
    assert ids("?status=failed&limit=2") == ["e4", "e2"]
    assert ids("?database_type=kdb&status=success") == ["e3", "e1"]
    assert ids("?offset=6") == []
    assert ids("?offset=9007199254740992") == []
    assert ids("?status=&database_type=") == ids("")


def test_an_unknown_user_has_an_empty_history(client):
    body = client.get("/api/v1/executions/nobody").json()
    assert body == {"user_id": "nobody", "executions": [], "count": 0, "limit": 100, "offset": 0}


def test_open_and_ended_ones_are_shown_in_the_family_s_words(client, log, ledger):
    words = ["success", "failed", "timeout", "error", "running", "queued"]
    for word in words:
        log(execution_id=word, status=word)
    log(execution_id="cancelled", status="failed", error_type="Cancelled", error_message="by bob")
    rows = {row["execution_id"]: row for row in client.get("/api/v1/executions/ann").json()["executions"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "success": "success", "failed": "failed", "timeout": "timeout", "error": "error", "cancelled": "failed",
    }  # fmt: skip
    assert (rows["cancelled"]["error_type"], rows["cancelled"]["error_message"]) == ("Cancelled", "by bob")
    assert rows["error"]["error_type"] == "Crashed"
    for word, expected in [("running", ["running"]), ("queued", ["queued"]), ("failed", ["cancelled", "failed"])]:
        found = client.get(f"/api/v1/executions/ann?status={word}").json()["executions"]
        assert [row["execution_id"] for row in found] == expected
    assert ledger.store.count(Filter(kind="query")) == 7


@pytest.mark.parametrize(
    "path",
    [
        "ann?limit=0",
        "ann?limit=1001",
        "ann?limit=-1",
        "ann?limit=ten",
        "ann?offset=-1",
        "ann?status=splendid",
        "ann/stats?days=0",
        "ann/stats?days=x",
        "ann/stats?days=99999999999",
        "stats/global?days=-1",
        "..%2fetc",
        "a%00b",
        "x" * 101,
    ],
)
def test_bad_input_is_a_422(client, path):
    assert client.get(f"/api/v1/executions/{path}").status_code == 422


def test_statistics_over_nothing_are_zeros(client):
    zeros = {
        "period_days": 7, "total_executions": 0, "success_count": 0, "failed_count": 0, "error_count": 0,
        "timeout_count": 0, "success_rate": 0.0, "avg_execution_time": 0.0, "max_execution_time": 0.0,
        "total_rows_processed": 0,
    }  # fmt: skip
    assert client.get("/api/v1/executions/ann/stats").json() == {"user_id": "ann", **zeros}
    assert client.get("/api/v1/executions/stats/global").json() == zeros
    assert client.get("/api/v1/executions/ann/database-stats").json() == {"user_id": "ann", "database_stats": []}
    assert client.get("/api/v1/executions/database-stats/global").json() == {"database_stats": []}


def test_statistics_add_up(client, log):
    for number in range(29):
        log(status="success", execution_time=0.5, total_rows=10, execution_id=f"s{number}")
    log(status="failed", execution_time=2.145, total_rows=1)
    log(status="failed", error_type="Cancelled", execution_time=0.1)
    log(status="error")
    log(status="timeout", execution_time=1.0)
    log(status="running")
    log(status="success", user_id="bob", database_type="starburst", execution_time=8.0, total_rows=2**40)
    mine = client.get("/api/v1/executions/ann/stats").json()
    assert mine == {
        "user_id": "ann", "period_days": 7, "total_executions": 33, "success_count": 29, "failed_count": 2,
        "error_count": 1, "timeout_count": 1, "success_rate": 87.88,
        "avg_execution_time": pytest.approx((29 * 0.5 + 2.145 + 0.1 + 1.0) / 33, abs=1e-3),
        "max_execution_time": 2.145, "total_rows_processed": 291,
    }  # fmt: skip
    everybody = client.get("/api/v1/executions/stats/global").json()
    assert (everybody["total_executions"], everybody["max_execution_time"]) == (34, 8.0)
    assert everybody["total_rows_processed"] == 291 + 2**40
    assert "user_id" not in everybody


def test_the_period_is_cut_to_the_moment(client, log, ledger):
    now = ledger.clock.now()
    log(started_at=now - 3 * DAY, execution_time=1.0)
    log(started_at=now - 3 * DAY + 60_000_000, execution_time=1.0)
    log(started_at=now - 10 * DAY, execution_time=1.0)
    for days, expected in [(3, 1), (4, 2), (7, 2), (11, 3)]:
        assert client.get(f"/api/v1/executions/ann/stats?days={days}").json()["total_executions"] == expected


def test_statistics_by_type_of_database(client, log):
    for status in ("success", "success", "failed", "timeout", "error"):
        log(status=status, execution_time=0.4)
    log(database_type="starburst", execution_time=0.6)
    log(database_type="starburst", user_id="bob", execution_time=0.8)
    kdb = {"database_type": "kdb", "execution_count": 5, "success_count": 2, "failed_count": 3}
    assert client.get("/api/v1/executions/ann/database-stats").json() == {
        "user_id": "ann",
        "database_stats": [
            {**kdb, "avg_execution_time": 0.4},
            {
                "database_type": "starburst",
                "execution_count": 1,
                "success_count": 1,
                "failed_count": 0,
                "avg_execution_time": 0.6,
            },
        ],
    }
    everywhere = client.get("/api/v1/executions/database-stats/global").json()["database_stats"]
    assert [(row["database_type"], row["execution_count"]) for row in everywhere] == [("kdb", 5), ("starburst", 2)]
    assert everywhere[1]["avg_execution_time"] == 0.7


@pytest.mark.parametrize("path", ["{}", "{}/stats", "{}/database-stats"])
def test_a_limited_caller_sees_their_own_only(guarded, path):
    alice = guarded("viewer:alice")
    assert alice.get("/api/v1/executions/" + path.format("alice")).status_code == 200
    assert alice.get("/api/v1/executions/" + path.format("bob")).status_code == 403
    assert guarded("viewer").get("/api/v1/executions/" + path.format("bob")).status_code == 200


@pytest.mark.parametrize("path", ["stats/global", "database-stats/global"])
def test_a_limited_caller_may_not_ask_about_everybody(guarded, path):
    assert guarded("viewer:alice").get(f"/api/v1/executions/{path}").status_code == 403
    assert guarded("viewer").get(f"/api/v1/executions/{path}").status_code == 200
