"""One table makes everything: no route beside it, fixed segments first, and a document that says what happens."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from execlog.core.errors import ConflictError, UnsupportedError
from execlog.kind import Call, Kind, Reply, Route
from execlog.web.app import create_app
from execlog.web.openapi import describe, statuses
from execlog.web.table import RouteTable
from histories import mixed, seed


class ById(msgspec.Struct):
    id: str


class ByName(msgspec.Struct):
    name: str


class Shapes(msgspec.Struct):
    numbers: tuple[int, ...] = ()
    words: list[str] = []
    pairs: dict[str, str] = {}
    choice: Literal["a", "b"] | None = None
    flag: bool = False
    amount: Annotated[float, msgspec.Meta(ge=0, le=10)] | None = None


class Thing(msgspec.Struct):
    name: str
    size: Annotated[int, msgspec.Meta(ge=0)] = 0


def route(path: str, handler=lambda call: call.params, *, method: str = "GET", **rest) -> Route:
    return Route(method=method, path=path, handler=handler, summary="probe", **rest)


def connect(ledger, *routes: Route) -> TestClient:
    return TestClient(create_app(ledger, [Kind(name="probe", words={}, routes=routes)]), base_url="http://localhost")


def test_nothing_is_routed_beside_the_table(app):
    assert [type(entry) for entry in app.routes] == [RouteTable]
    assert not app.router.redirect_slashes


def test_the_table_has_each_route_once(ledger):
    with pytest.raises(ValueError, match="twice"):
        connect(ledger, route("/probe"), route("/probe"))
    with pytest.raises(ValueError, match="twice"):
        connect(ledger, route("/probe/{id}", params=ById), route("/probe/{name}", params=ByName))


def test_a_fixed_segment_wins_over_a_parameter_whatever_the_order(ledger):
    client = connect(
        ledger,
        route("/probe/{id}", params=ById),
        route("/probe/stats", lambda _call: "stats"),
        route("/probe/{id}/runs", lambda call: [call.params.id], params=ById),
    )
    assert client.get("/probe/stats").json() == "stats"
    assert client.get("/probe/statistics").json() == {"id": "statistics"}
    assert client.get("/probe/stats/runs").json() == ["stats"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("numbers=1,2&numbers=3", {"numbers": [1, 2, 3]}),
        ("words=a,b&words=c", {"words": ["a,b", "c"]}),
        ("pairs=k:v:w&pairs=l:m", {"pairs": {"k": "v:w", "l": "m"}}),
        ("choice=b&flag=true&amount=2.5", {"choice": "b", "flag": True, "amount": 2.5}),
        ("unknown=1&choice=", {}),
        ("words=%C3%BC+x", {"words": ["ü x"]}),
    ],
)
def test_parameters_are_read_by_their_type(ledger, query, expected):
    client = connect(ledger, route("/probe", params=Shapes))
    defaults = msgspec.json.decode(msgspec.json.encode(Shapes()))
    assert client.get(f"/probe?{query}").json() == defaults | expected


def test_bodies_are_decoded_by_their_type(ledger):
    client = connect(
        ledger,
        route("/one", lambda call: call.body.name, method="POST", body=Thing),
        route("/maybe", lambda call: call.body, method="PUT", body=Thing | None),
        route("/raw", lambda call: Reply(call.body[::-1], media_type="text/plain"), method="PATCH", body=bytes),
    )
    assert client.post("/one", json={"name": "x"}).json() == "x"
    refused = client.post("/one", json={"name": "x", "size": -1})
    assert (refused.status_code, refused.json()["field"]) == (422, "size")
    assert client.post("/one").status_code == 400
    assert client.put("/maybe").json() is None
    assert client.put("/maybe", json={"name": "y"}).json() == {"name": "y", "size": 0}
    raw = client.patch("/raw", content=b"abc", headers={"Content-Type": "application/json"})
    assert (raw.text, raw.headers["content-type"]) == ("cba", "text/plain; charset=utf-8")


def test_answers_may_say_their_own_status_headers_and_pieces(ledger):
    async def awaited(call: Call) -> str:
        return call.headers["x-me"]

    client = connect(
        ledger,
        route("/created", lambda _: Reply({"ok": True}, status=201, headers={"Location": "/x"})),
        route("/odd", lambda _: Reply(None, headers={"Location": "/ünï/x\r\nX-Evil: 1", "X-Plain": "a b;c=1 %41"})),
        route("/nothing", lambda _: None, method="DELETE", status=204),
        route("/pieces", lambda _: Reply(iter([b"a\n", b"b\n"]), media_type="text/csv")),
        route("/awaited", awaited),
        route("/conflict", _raise(ConflictError("it runs already"))),
        route("/unsupported", _raise(UnsupportedError("no search here", capability="text"))),
    )
    created = client.get("/created")
    assert (created.status_code, created.headers["location"], created.json()) == (201, "/x", {"ok": True})
    odd = client.get("/odd").headers
    assert (odd["location"], odd["x-plain"]) == ("/%C3%BCn%C3%AF/x%0D%0AX-Evil: 1", "a b;c=1 %41")
    assert "x-evil" not in odd
    nothing = client.delete("/nothing")
    assert (nothing.status_code, nothing.content, nothing.headers.get("content-length")) == (204, b"", None)
    assert client.get("/pieces").text == "a\nb\n"
    assert client.get("/awaited", headers={"X-Me": "me"}).json() == "me"
    assert (client.get("/conflict").status_code, client.get("/unsupported").status_code) == (409, 501)


def test_the_app_works_below_any_mount(ledger):
    seed(ledger, *mixed())
    roots: list[str] = []
    inner = create_app(
        ledger, [Kind(name="probe", words={}, routes=(route("/mounted", lambda c: roots.append(c.root)),))]
    )
    client = TestClient(Starlette(routes=[Mount("/tools/history", inner)]), base_url="http://localhost")
    assert client.get("/tools/history/api/executions/run-1").json()["id"] == "run-1"
    assert client.get("/tools/history/api/executions/a%2Fb").status_code == 422
    assert client.get("/tools/history/api/executions/r%75n-1").json()["id"] == "run-1"
    assert client.get("/api/executions").status_code == 404
    assert client.get("/tools/history/mounted").status_code == 200
    assert roots == ["/tools/history"]


def test_the_app_works_behind_a_proxy_with_a_root_path(ledger):
    seed(ledger, *mixed())
    client = TestClient(create_app(ledger), base_url="http://localhost", root_path="/history")
    assert client.get("/history/api/executions/run-1").json()["id"] == "run-1"


def test_the_document_describes_the_whole_table(app, client):
    document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert described == {(row.method, row.path) for row in app.state.table.routes if row.documented}
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_the_document_has_bounds_bodies_and_statuses(client):
    document = client.get("/openapi.json").json()
    listing = document["paths"]["/api/executions"]["get"]
    parameters = {parameter["name"]: parameter for parameter in listing["parameters"]}
    assert parameters["limit"]["schema"] | {"description": ""} == {
        "type": "integer", "minimum": 1, "maximum": 1000, "default": 50, "description": "",
    }  # fmt: skip
    assert parameters["status"]["explode"]
    assert parameters["tags"]["schema"]["items"]["pattern"]
    assert not parameters["kind"]["required"]
    one = document["paths"]["/api/executions/{id}"]["get"]
    assert {p["name"]: p["in"] for p in one["parameters"]} == {"id": "path", "kind": "query", "namespace": "query"}
    assert {"200", "404", "422", "503"} <= one["responses"].keys()
    posted = document["paths"]["/api/executions"]["post"]
    assert set(posted["requestBody"]["content"]) >= {"application/json", "application/x-ndjson"}
    assert {"201", "202", "400", "413", "415", "422"} <= posted["responses"].keys()
    money = document["components"]["schemas"]["ExecutionView"]["properties"]["cost"]["anyOf"]
    assert {option["type"] for option in money} == {"number", "null"}


def test_the_document_says_which_token_a_call_needs(guarded):
    document = guarded("").get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    listing, health = document["paths"]["/api/executions"]["get"], document["paths"]["/healthz"]["get"]
    assert {"401", "403"} <= listing["responses"].keys()
    assert listing["x-role"] == "viewer"
    assert health["security"] == []


def test_every_reference_of_the_document_leads_somewhere(app):
    document = describe(app.state.table.routes, tokens=True)
    text = msgspec.json.encode(document).decode()
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names == set(document["components"]["schemas"])


def test_the_frameworks_own_statuses_follow_from_the_row():
    plain = route("/probe")
    assert statuses(plain, tokens=False) == [421, 503]
    assert {401, 403} <= set(statuses(plain, tokens=True))
    assert 401 not in statuses(route("/probe", role="public"), tokens=True)
    assert {400, 408, 413, 415, 422} <= set(statuses(route("/probe", method="POST", body=Thing), tokens=False))


def _raise(error: Exception):
    def handler(_call: Call) -> None:
        raise error

    return handler
