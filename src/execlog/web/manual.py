"""The API describing itself: the OpenAPI document, the page that is made of the same rows, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, cast

import msgspec
from msgspec import Struct

from execlog.kind import Call, Reply, Route
from execlog.web.openapi import Json, describe, operation_id, statuses
from execlog.web.templates import HTML, Templates


class Line(Struct, frozen=True):
    """One parameter, or one field of a body or an answer."""

    name: str
    place: str
    type: str
    about: str


class Operation(Struct, frozen=True, kw_only=True):
    """One route, as the manual has it."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    tag: str
    role: str
    limited: bool
    parameters: tuple[Line, ...]
    accepts: tuple[str, ...]
    body: tuple[Line, ...]
    answers: tuple[Line, ...]
    fields: tuple[Line, ...]
    errors: tuple[tuple[int, str], ...]
    curl: str


def manual_routes(routes: Sequence[Route], templates: Templates, *, tokens: bool) -> list[Route]:
    """Where the API describes itself."""
    kept: dict[str, Any] = {}

    def openapi(_call: Call) -> Reply:
        if "openapi" not in kept:
            kept["openapi"] = msgspec.json.encode(describe(routes, tokens=tokens))
        return Reply(kept["openapi"])

    def manual(call: Call) -> Reply:
        if "operations" not in kept:
            kept["operations"] = operations(routes, tokens=tokens)
        return templates.reply("manual.html", call, sections=sections(kept["operations"]), base=call.base)

    return [
        Route(
            method="GET",
            path="/openapi.json",
            handler=openapi,
            summary="This API as an OpenAPI 3.1 document",
            role="public",
            documented=False,
        ),
        Route(
            method="GET",
            path="/docs",
            handler=manual,
            summary="This API to read",
            media_type=HTML,
            role="public",
            documented=False,
        ),
    ]


def operations(routes: Sequence[Route], *, tokens: bool = True) -> list[Operation]:
    """The documented routes as the manual has them, in the table's order."""
    document = describe(routes, tokens=tokens)
    schemas: Json = document["components"]["schemas"]
    return [
        _operation(route, document["paths"][route.path][route.method.lower()], schemas, tokens=tokens)
        for route in routes
        if route.documented
    ]


def sections(listed: Sequence[Operation]) -> list[tuple[str, list[Operation]]]:
    """Operations by their tag, tags in the order they first come."""
    order = {tag: place for place, tag in reversed(list(enumerate(one.tag for one in listed)))}
    ordered = sorted(listed, key=lambda one: order[one.tag])
    return [(tag, list(ones)) for tag, ones in groupby(ordered, key=lambda one: one.tag)]


def _operation(route: Route, written: Json, schemas: Json, *, tokens: bool) -> Operation:
    body: Json = {} if route.body is None else written["requestBody"]["content"][route.accepts[0]]["schema"]
    answer: Json = (
        written["responses"][str(route.status)].get("content", {}).get(route.media_type, {}).get("schema", {})
    )
    return Operation(
        id=operation_id(route),
        method=route.method,
        path=route.path,
        summary=route.summary,
        description=route.description,
        tag=route.tag,
        role=route.role,
        limited=route.limited,
        parameters=tuple(
            Line(one["name"], _place(one), type_name(one["schema"], schemas), one.get("description", ""))
            for one in written["parameters"]
        ),
        accepts=route.accepts if route.body is not None else (),
        body=_fields(body, schemas),
        answers=tuple(
            Line(str(status), "", type_name(_schema(written, status, route), schemas), HTTPStatus(status).phrase)
            for status in (route.status, *route.also)
        ),
        fields=_fields(answer, schemas),
        errors=tuple((status, HTTPStatus(status).phrase) for status in statuses(route, tokens=tokens)),
        curl=_curl(route),
    )


def type_name(schema: Json, schemas: Json) -> str:
    """A schema in a few words: "integer 1 to 1000, default 50"."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        referred: Json = schemas.get(name, {})
        return " | ".join(map(str, referred["enum"])) if "enum" in referred else name
    if "anyOf" in schema:
        options = [type_name(option, schemas) for option in cast("list[Json]", schema["anyOf"])]
        return " or ".join(dict.fromkeys(options))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"])) + _default(schema)
    if schema.get("type") == "array":
        return f"list of {type_name(schema.get('items', {}), schemas)}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_name(schema['additionalProperties'], schemas)}"
    name = str(schema.get("format") or schema.get("type") or "anything")
    return name + _bounds(schema) + _default(schema)


def _bounds(schema: Json) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" {low:g} to {high:g}" if high < 1e12 else f" from {low:g}"  # noqa: PLR2004 - beyond, a bound says nothing
    longest = schema.get("maxLength")
    return f" up to {longest} characters" if longest else ""


def _default(schema: Json) -> str:
    default = schema.get("default")
    return (
        "" if default in (None, "", [], {}, ()) else f", default {msgspec.json.encode(default).decode().strip(chr(34))}"
    )


def _place(parameter: Json) -> str:
    return "path" if parameter["in"] == "path" else "query, repeated" if parameter.get("explode") else "query"


def _schema(written: Json, status: int, route: Route) -> Json:
    return (
        written["responses"][str(status)]
        .get("content", {})
        .get(route.media_type, {})
        .get("schema", {"type": "nothing"})
    )


def _fields(schema: Json, schemas: Json) -> tuple[Line, ...]:
    """The fields of an object, where the schema is one."""
    while "$ref" in schema:
        schema = schemas[str(schema["$ref"]).rpartition("/")[2]]
    options = [option for option in schema.get("anyOf", ()) if option.get("type") not in {"null", "array"}]
    if len(options) == 1:
        return _fields(options[0], schemas)
    required = set(schema.get("required", ()))
    return tuple(
        Line(
            name, "" if name in required else "may be left out", type_name(field, schemas), field.get("description", "")
        )
        for name, field in schema.get("properties", {}).items()
    )


def _curl(route: Route) -> str:
    """A call that can be tried: with the parameters of the path as words."""
    path = route.path.replace("{", "").replace("}", "").replace("/id", "/ID")
    method = "" if route.method == "GET" else f"-X {route.method} "
    body = "" if route.body is None else f" -H 'Content-Type: {route.accepts[0]}' -d '…'"
    return f"curl {method}$BASE{path}{body}"
