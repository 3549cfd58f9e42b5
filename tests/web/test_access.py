"""Who may do what: the authorisation matrix of the whole route table, and requests from elsewhere."""

from __future__ import annotations

import re

import msgspec
import pytest
from starlette.testclient import TestClient

from execlog.core.errors import SettingsError
from execlog.core.settings import Settings
from execlog.kind import Call, Kind, Principal, Route
from execlog.web.access import ROLES, Access, check_exposure
from execlog.web.app import create_app
from histories import mixed, seed


@pytest.fixture
def seeded(ledger, guarded):
    seed(ledger, *mixed())
    return guarded


def statuses_by_role(ledger, route: Route) -> dict[str, int]:
    """What a stand-in with this route's row answers each role: the handler itself must not matter here."""
    body = b"{}" if route.body is not None else None
    stand_in = msgspec.structs.replace(route, handler=lambda _call: "reached", params=None, body=None, status=200)
    path = re.sub(r"{[^}]+}", "x", route.path)
    stand_in = msgspec.structs.replace(stand_in, path="/probe" + path)
    tokens = {f"token of {role}": role for role in (*ROLES[1:], *(f"{role}:alice" for role in ROLES[1:]))}
    app = create_app(
        ledger,
        [Kind(name="probe", words={}, routes=(stand_in,))],
        msgspec.structs.replace(ledger.settings, tokens=tokens),
    )
    client = TestClient(app, base_url="http://localhost", follow_redirects=False)
    callers = {"public": {}} | {role: {"Authorization": f"Bearer token of {role}"} for role in tokens.values()}
    return {
        role: client.request(route.method, f"/probe{path}", headers=headers, content=body).status_code
        for role, headers in callers.items()
    }


def test_the_whole_table_keeps_its_roles(ledger, app):
    for route in app.state.table.routes:
        answered = statuses_by_role(ledger, route)
        for role in ROLES:
            allowed = ROLES.index(role) >= ROLES.index(route.role)
            signs_in = 303 if route.media_type == "text/html" else 401
            refused = signs_in if role == "public" else 403
            assert answered[role] == (200 if allowed else refused), (route.method, route.path, role)
            if role != "public":
                limited_too = allowed and (route.limited or route.role == "public")
                assert answered[f"{role}:alice"] == (200 if limited_too else 403), (route.method, route.path, role)


def test_who_is_nobody_is_told_how_to_say_who(guarded):
    answer = guarded("").get("/api/executions")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic token of admin", "Bearer", "Bearer  ", "token of admin"])
def test_a_wrong_token_is_nobody(guarded, header):
    answer = guarded("").get("/api/executions", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_limited_token_sees_only_its_own(seeded):
    alice = seeded("viewer:alice")
    assert [entry["id"] for entry in alice.get("/api/executions").json()["executions"]] == ["run-5"]
    assert [entry["id"] for entry in alice.get("/api/latest").json()["executions"]] == ["run-5"]
    assert alice.get("/api/stats").json()["overall"]["total"] == 1
    assert alice.get("/api/failures").json()["failures"] == []
    assert alice.get("/api/executions/run-5").status_code == 200
    assert alice.get("/api/executions/run-1").status_code == 404
    assert alice.get("/api/executions/run-1/items").status_code == 404
    for path in ("/api/executions", "/api/stats", "/api/failures"):
        refused = alice.get(f"{path}?actor=schedule")
        assert (refused.status_code, refused.json()["title"]) == (403, "You may not do this")
        assert refused.json()["detail"] == "your token is limited to 'alice': it may not ask for executions of others"
    assert alice.get("/metrics").status_code == 403


def test_a_limited_token_sees_only_its_own_runs_of_what_others_run_too(ledger, guarded):
    shared = {"kind": "query", "subject": "kdb"}
    own = [shared | {"id": "own-1", "actor": "alice"}, {**shared, "subject": "trino", "id": "own-2", "actor": "alice"}]
    others = [
        shared | {"id": "other-1", "actor": "bob"},
        {**shared, "subject": "trino", "id": "other-2", "actor": "bob"},
    ]
    assert guarded("operator").post("/api/executions", json=[others[0], *own, others[1]]).status_code == 202
    assert ledger.flush()
    page = guarded("viewer:alice").get("/").text
    assert "other-" not in page
    strips = page.partition('id="live-subjects"')[2].partition("</section>")[0]
    assert all(one["id"] in strips for one in own)


def test_a_limited_token_changes_only_its_own(ledger, seeded):
    operator, admin = seeded("operator:alice"), seeded("admin:alice")
    assert admin.delete("/api/executions/run-1").status_code == 404
    assert admin.delete("/api/executions/run-5").status_code == 204
    assert operator.post("/api/executions", json={"name": "x", "actor": "bob"}).status_code == 403
    mixed = [{"name": "x", "actor": "bob"}, {"name": "y", "duration": "long"}]
    assert operator.post("/api/executions", json=mixed).status_code == 422
    [new] = operator.post("/api/executions", json={"name": "x"}).json()["ids"]
    assert ledger.flush()
    assert ledger.store.get(new).actor == "alice"


def test_a_limited_token_says_nothing_about_what_is_anothers(ledger, guarded):
    operator, everybody = guarded("operator:alice"), guarded("operator")
    bobs, mine = {"id": "b1", "actor": "bob", "input": "secret", "kind": "etl"}, {"id": "a1", "kind": "etl"}
    assert everybody.post("/api/executions", json=[bobs, {"id": "nobodys"}]).status_code == 202
    # Not stored yet: what waits in the journal counts, too.
    alone = operator.post("/api/executions", json={"id": "b1", "kind": "etl"})
    assert (alone.status_code, alone.json()["field"]) == (403, "id")
    assert operator.post("/api/executions", json={"id": "nobodys"}).status_code == 403
    running = {"id": "b1", "kind": "etl", "status": "running", "lease_seconds": 1}
    told = operator.post("/api/executions", json=[mine, running, {"name": "bad", "duration": "long"}, mine]).json()
    assert (told["accepted"], told["ids"]) == (2, ["a1", "a1"])
    assert [(error["line"], error["field"]) for error in told["errors"]] == [(2, "id"), (3, "duration")]
    assert operator.post("/api/executions", json={"id": "b1", "kind": "other"}).status_code == 202
    assert ledger.flush()
    assert operator.get("/api/executions/b1?kind=etl").status_code == 404
    assert ledger.store.get("b1", kind="etl").actor == "bob"
    assert operator.post("/api/executions", json={**mine, "rows": 1}).status_code == 202


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8321", "127.0.0.1:8321", "127.8.9.1", "[::1]:8321", "LOCALHOST"]
)
def test_loopback_names_are_answered(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::2]", "127.0.0.1.evil.example"]
)
def test_other_names_are_not(client, host):
    answer = client.get("/healthz", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "[::]"])
def test_where_all_addresses_are_listened_on_each_is_answered(ledger, address):
    settings = msgspec.structs.replace(ledger.settings, host=address)
    client = TestClient(create_app(ledger, settings=settings), base_url="http://localhost")
    hosts = {
        "10.0.0.7:8321": 200,
        "[2001:db8::7]:8321": 200,
        "evil.example": 421,
        "10.0.0.7.evil.example": 421,
        "": 421,
    }
    for host, status in hosts.items():
        assert client.get("/healthz", headers={"Host": host}).status_code == status, host


def test_names_in_the_settings_are_answered(ledger):
    settings = msgspec.structs.replace(ledger.settings, allowed_hosts=("history.example",))
    client = TestClient(create_app(ledger, settings=settings), base_url="http://history.example")
    assert client.get("/healthz").status_code == 200
    assert client.get("/healthz", headers={"Host": "other.example"}).status_code == 421
    anything = create_app(ledger, settings=msgspec.structs.replace(ledger.settings, allowed_hosts=("*",)))
    assert TestClient(anything, base_url="http://whatever.example").get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:1"},
    ],
)
def test_another_site_may_not_change_anything(ledger, client, headers):
    refused = client.post("/api/executions", json={"name": "forged"}, headers=headers)
    assert refused.status_code == 403
    assert client.delete("/api/executions/x", headers=headers).status_code == 403
    assert ledger.flush()
    assert client.get("/api/executions").json()["executions"] == []


def test_its_own_pages_may(client):
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/executions", json={"name": "ours"}, headers=headers).status_code == 202


def test_every_answer_carries_the_security_headers_and_none_of_cors(client):
    for path in ("/api/executions", "/nope", "/api/executions/nobody", "/openapi.json", "/healthz"):
        headers = client.get(path, headers={"Origin": "https://evil.example"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control")]
    assert client.options("/api/executions", headers={"Origin": "https://evil.example"}).status_code == 405


def test_off_loopback_without_tokens_is_refused_with_what_to_set():
    with pytest.raises(SettingsError, match="tokens") as refused:
        check_exposure(Settings(host="0.0.0.0"))
    assert "EXECLOG_TOKENS" in str(refused.value)
    with pytest.raises(SettingsError, match="16 characters"):
        check_exposure(Settings(host="10.0.0.7", tokens={"short": "admin"}))
    check_exposure(Settings(host="0.0.0.0", tokens={"x" * 32: "viewer"}))
    for host in ("127.0.0.1", "localhost", "::1", "[::1]"):
        check_exposure(Settings(host=host))


@pytest.mark.parametrize("said", ["root", "public", "", "admin role"])
def test_a_token_must_say_a_role(said):
    with pytest.raises(SettingsError, match="role"):
        Access(Settings(tokens={"x" * 20: said}))


def test_without_tokens_everybody_who_reaches_it_is_admin():
    assert Access(Settings()).principal({}) == Principal("admin")
    assert Access(Settings(tokens={"t": "viewer:bob"})).principal({"authorization": "Bearer t"}) == Principal(
        "viewer", "bob"
    )


def test_a_call_carries_who_calls(ledger):
    seen: list[Call] = []
    route = Route(method="GET", path="/who", handler=seen.append, summary="who", limited=True)
    settings = msgspec.structs.replace(ledger.settings, tokens={"t": "viewer:bob"})
    app = create_app(ledger, [Kind(name="probe", words={}, routes=(route,))], settings)
    answer = TestClient(app, base_url="http://localhost").get("/who", headers={"Authorization": "Bearer t"})
    assert answer.status_code == 200
    assert seen[0].principal == Principal("viewer", "bob")
