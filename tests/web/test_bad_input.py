"""Whatever is sent, the answer is a clear 4xx, never a 5xx, and never a trace."""

from __future__ import annotations

import gzip
import json
import zlib

import msgspec
import pytest
from starlette.testclient import TestClient

from corpus import BAD
from execlog.web import content
from execlog.web.app import create_app
from histories import mixed, seed

DEEP = "[" * 100_000
NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


def refused(answer, *statuses: int) -> dict:
    """The problem document of an answer with one of these statuses."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text
    return problem


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1001", "limit"),
        ("limit=99999999999999999999999999", "limit"),
        ("limit=1.5", "limit"),
        ("limit=ten", "limit"),
        ("limit=NaN", "limit"),
        ("offset=-1", "offset"),
        ("offset=99999999999", "offset"),
        ("status=success", "status"),
        ("status=failed,", None),
        ("min_duration=NaN", "min_duration"),
        ("min_duration=inf", "min_duration"),
        ("max_duration=-1", "max_duration"),
        ("max_duration=1e400", "max_duration"),
        ("min_cost=NaN", "min_cost"),
        ("min_cost=1e9", "min_cost"),
        ("min_cost=-0.1", "min_cost"),
        ("min_cost=0.0000000001", "min_cost"),
        ("since=0000-01-01T00:00:00Z", "since"),
        ("since=9999-12-31T23:59:59-23:00", "since"),
        ("since=10000-01-01", "since"),
        ("since=yesterday", "since"),
        ("since=" + "9" * 41, "since"),
        ("until=NaN", "until"),
        ("subject=" + "x" * 1001, "subject"),
        ("subject=a%00b", "subject"),
        ("id=" + "x" * 101, "id"),
        ("tags=nocolon", "tags"),
        ("tags=:value", "tags"),
        ("sort=random", "sort"),
        ("include=everything", "include"),
        ("count=maybe", "count"),
        ("nonsense=1", "nonsense"),
        ("%00=1", None),
        ("&".join(f"id={n}" for n in range(101)), "id"),
        ("&".join("kind=a" for _ in range(400)), None),
    ],
)
def test_a_bad_query_is_422_and_names_its_field(client, query, field):
    answer = client.get(f"/api/executions?{query}")
    if query == "status=failed,":
        assert answer.status_code == 200
        return
    problem = refused(answer, 422)
    assert field is None or problem["field"].split("[")[0] == field


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=success", "it is one of bad, cancelled, crashed, ended"),
        ("sort=random", "it is one of costliest, newest, oldest, slowest"),
        ("item=x&item_status=bad", "it is one of queued, running"),
        ("min_cost=abc", "Expected US dollars: 0.05"),
        ("min_duration=soon", "Expected Seconds, or a span with its unit: 2.5, 250ms, 90s, 15m"),
    ],
)
def test_a_refusal_says_what_would_fit(client, query, said):
    assert said in refused(client.get(f"/api/executions?{query}"), 422)["detail"]


def test_what_is_not_utf8_cannot_be_read(client):
    refused(client.get("/api/executions?subject=%ED%A0%80"), 400)
    refused(client.get("/api/executions?subject=%FF"), 400)
    refused(client.get("/api/executions/%ED%A0%80"), 400)


@pytest.mark.parametrize("cursor", ["x", "%00", "A" * 2000, "AAAAAAAA", "ünicode", "Zm9vYmFyYmF6"])
def test_a_foreign_cursor_is_400(client, cursor):
    problem = refused(client.get("/api/executions", params={"cursor": cursor}), 400, 422)
    assert problem["field"] == "cursor"


def test_a_cursor_of_another_question_is_400(ledger, client):
    seed(ledger, *mixed())
    cursor = client.get("/api/executions?limit=1").json()["next_cursor"]
    refused(client.get(f"/api/executions?limit=1&kind=job&cursor={cursor}"), 400)


@pytest.mark.parametrize(
    "path",
    [
        "/api/executions/..%2fetc%2fpasswd",
        "/api/executions/..%5cetc",
        "/api/executions/a%2fb",
        "/api/executions/" + "x" * 101,
        "/api/executions/%00",
        "/api/executions/a%0Ab",
        "/api/executions/a..b",
        "/api/executions/%2e%2e",
        "/api/executions/a%2fb/items",
        "/api/executions/x?kind=%00",
        "/api/executions/x/logs?limit=0",
    ],
)
def test_a_bad_id_in_a_path_is_422(client, path):
    refused(client.get(path), 422)
    if "?" not in path and "items" not in path:
        refused(client.delete(path), 422)


@pytest.mark.parametrize(
    "path", ["/api/executions/", "/api", "/api//executions", "/api/executions/x/y/z", "/../../etc/passwd"]
)
def test_addresses_that_are_none_are_404(client, path):
    refused(client.get(path), 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_405_and_told_which(client, method):
    answer = client.request(method, "/api/executions")
    refused(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_addresses_without_end_are_refused(client):
    refused(client.get("/api/executions?subject=" + "x" * 20_000), 414)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null x",
        b'{"name": NaN}',
        b'{"rows": Infinity}',
        b'{"name": "\\ud800"}',
        '{"name": "\ud800"}'.encode("utf-8", "surrogatepass"),
        b'{"name": "\xff"}',
        b'{"name": "a\x00b"}',
        b'\xef\xbb\xbf{"name": "x"}',
        DEEP.encode(),
        b'{"input": ' + DEEP.encode() + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
        b"[" + b"[]," * 200_000 + b"[]]",
        b'"' + b'\\"' * 400_000,
    ],
)
def test_bodies_that_are_no_json_are_4xx(client, body):
    refused(client.post("/api/executions", content=body, headers=JSON), 400, 413, 422)
    lines = client.post("/api/executions", content=body.replace(b"\n", b" "), headers=NDJSON)
    refused(lines, 400, 413, 422)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (1, None),
        ("text", None),
        ({"id": ""}, "id"),
        ({"id": "x" * 101}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": ".."}, "id"),
        ({"id": "a\u0000b"}, "id"),
        ({"id": "stats", "kind": "workflow"}, "id"),
        ({"kind": "../x"}, "kind"),
        ({"namespace": "a/b"}, "namespace"),
        ({"root_id": "a\\b"}, "root_id"),
        ({"status": "success"}, "status"),
        ({"rows": -1}, "rows"),
        ({"rows": 2**63}, "rows"),
        ({"rows": 1.5}, "rows"),
        ({"duration": -1}, "duration"),
        ({"duration": 1e300}, "duration"),
        ({"cost": -0.001}, "cost"),
        ({"started_at": "0000-01-01T00:00:00Z"}, "started_at"),
        ({"started_at": "9999-12-31T23:59:59-10:00"}, "started_at"),
        ({"started_at": 1e18}, "started_at"),
        ({"started_at": "soon"}, "started_at"),
        ({"started_at": {"year": 2026}}, "started_at"),
        ({"items": [{"name": "no key"}]}, None),
        ({"items": [{"key": "a", "rows": -1}]}, None),
        ({"tags": {"a": 1}}, None),
        ({"unknown": 1}, "unknown"),
        ({"name": "x" * 1001}, "name"),
    ],
)
def test_an_execution_that_does_not_fit_is_422(client, said, field):
    problem = refused(client.post("/api/executions", json=said), 422)
    assert field is None or problem["field"] == field


def test_times_at_the_edges_are_taken_and_shown(ledger, client):
    edges = {"early": "0001-01-01T00:00:00Z", "late": "9999-12-31T23:59:59.999999Z", "naive": "2026-01-01T00:00:00"}
    for id_, at in edges.items():
        sent = client.post("/api/executions", json={"id": id_, "name": "n", "started_at": at, "status": "running"})
        assert sent.status_code == 202, sent.text
    assert ledger.flush()
    assert client.get("/api/executions/naive").json()["started_at"] == "2026-01-01T00:00:00Z"
    assert client.get("/api/executions/early").json()["started_at"] == "0001-01-01T00:00:00Z"
    assert client.get("/api/executions/late").json()["started_at"] == "9999-12-31T23:59:59.999999Z"
    assert client.get("/api/stats?group_by=day").status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "application/json; charset=latin-1"]
)
def test_other_formats_are_415(client, kind):
    problem = refused(client.post("/api/executions", content=b"{}", headers={"Content-Type": kind}), 415)
    assert "application/json" in problem["detail"]


def test_a_body_over_the_limit_is_413_however_it_comes(ledger, client):
    big = b'{"name": "' + b"x" * 2**20 + b'"}'
    answer = client.post("/api/executions", content=big, headers=JSON)
    refused(answer, 413)
    assert answer.headers["connection"] == "close"
    refused(client.post("/api/executions", content=iter([b" " * 2**19] * 3), headers=JSON), 413)
    small = create_app(ledger, settings=msgspec.structs.replace(ledger.settings, body_limit=100))
    refused(
        TestClient(small, base_url="http://localhost").post("/api/executions", content=b" " * 101, headers=JSON), 413
    )


@pytest.mark.parametrize(
    "pack", [gzip.compress, zlib.compress, lambda data: gzip.compress(data[:10], mtime=0) * 1000 + gzip.compress(data)]
)
def test_a_bomb_is_refused_before_it_unpacks(client, pack):
    bomb = pack(b"0" * (200 * 2**20))
    assert len(bomb) < 2**20
    encoding = "deflate" if pack is zlib.compress else "gzip"
    refused(client.post("/api/executions", content=bomb, headers=JSON | {"Content-Encoding": encoding}), 413)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"{}", mtime=0)[:-6], "gzip", 400),
        (gzip.compress(b'{"name":"x"}', mtime=0) + b"junk", "gzip", 400),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
    ],
)
def test_compression_that_is_none_is_refused(client, body, encoding, status):
    refused(client.post("/api/executions", content=body, headers=JSON | {"Content-Encoding": encoding}), status)


@pytest.mark.parametrize("path", ["/api/executions", "/login"])
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_compressed_data_has_so_many_pieces_and_no_more(client, path, pack):
    media_type = "application/json" if path.startswith("/api") else "application/x-www-form-urlencoded"
    headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}
    problem = client.post(path, content=pack(b"") * 50_000, headers=headers)
    assert problem.status_code == 400
    assert f"more than {content.MOST_PIECES} pieces" in problem.text


def test_what_is_compressed_in_pieces_is_whole(client):
    lines = [json.dumps({"id": f"run-{number}", "name": "x" * (number % 500)}).encode() for number in range(1_500)]
    packed = b"".join(gzip.compress(line + b"\n", number % 10) for number, line in enumerate(lines))
    packed += gzip.compress(b" " * 500_000 + lines[0] + b"\n", 0)
    sent = client.post("/api/executions", content=packed, headers=NDJSON | {"Content-Encoding": "gzip"})
    assert sent.json()["ids"] == [*(f"run-{number}" for number in range(1_500)), "run-0"]


def test_too_many_entries_at_once_are_413(client):
    refused(client.post("/api/executions", content=b'{"id":"x"}\n' * 10_001, headers=NDJSON), 413)


def test_durable_is_a_yes_or_no(client):
    assert refused(client.post("/api/executions?durable=perhaps", json={"name": "x"}), 422)["field"] == "durable"


def test_nobody_expected_is_500_without_a_trace(ledger, client, monkeypatch, caplog):
    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr(type(ledger.store), "find", broken)
    answer = client.get("/api/executions")
    problem = refused(answer, 500)
    assert "secret" not in json.dumps(problem)
    assert "secret inside" in caplog.text


def test_a_store_that_is_down_is_503_with_retry_after(ledger, client, monkeypatch):
    from execlog.core.errors import StoreError

    def down(*_args, **_kwargs):
        raise StoreError("the store does not answer", retry=True)

    for name in ("find", "get", "stats", "changes", "failures", "latest"):
        monkeypatch.setattr(type(ledger.store), name, down)
    for path in ("/api/executions", "/api/executions/x", "/api/stats", "/api/failures", "/api/latest"):
        answer = client.get(path)
        refused(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
    health = client.get("/healthz")
    assert (health.status_code, health.json()["status"]) == (503, "down")
    assert client.post("/api/executions", json={"name": "goes on"}).status_code == 202


@pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.title) for bad in BAD])
def test_the_corpus_is_refused_and_nothing_is_kept(ledger, client, bad):
    refused(client.post("/api/executions", content=bad.body, headers=JSON), 400, 413, 422)
    assert ledger.flush()
    assert client.get("/api/executions").json()["executions"] == []


def test_an_id_posted_twice_is_one_execution(ledger, client):
    for _ in range(2):
        assert client.post("/api/executions", json={"id": "twice", "name": "n"}).status_code == 202
    assert ledger.flush()
    assert len(client.get("/api/executions").json()["executions"]) == 1
