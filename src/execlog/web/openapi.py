"""The OpenAPI 3.1 document of the route table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, cast

import msgspec

from execlog.kind import Route
from execlog.web.parameters import Parameters, Shape
from execlog.web.problem import MEDIA_TYPE, Problem
from execlog.web.release import release

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"
_DECIMAL = {"type": "string", "format": "decimal"}


def describe(routes: Sequence[Route], *, tokens: bool) -> Json:
    """The document; `tokens`: whether this server asks for them."""
    listed = [route for route in routes if route.documented]
    types = _types(listed)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = {id(type_): _plain(schema) for type_, schema in zip(types, schemas, strict=True)}
    components = cast("Json", _plain(components))
    paths: dict[str, Json] = {}
    used: set[str] = set()
    for route in listed:
        parameters = _parameters(route, components, by_type)
        operation = _operation(route, parameters, by_type, tokens=tokens)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
        used |= _references(operation)
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "execlog",
            "version": release(),
            "summary": "Execution history: what ran, what failed and why.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": _reachable(components, used)},
    }
    if tokens:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def statuses(route: Route, *, tokens: bool) -> list[int]:
    """The statuses besides its own that a route may answer with, ascending."""
    known = {*route.errors, 421, 503}
    if tokens and route.role != "public":
        known |= {401, 403}
    if route.method != "GET":
        known.add(403)
    if route.params is not None:
        known |= {400, 414, 422}
    if "{" in route.path:
        known |= {400, 404, 422}
    if route.body is not None:
        known |= {400, 408, 413, 415, 422}
    return sorted(known)


def operation_id(route: Route) -> str:
    """A name for the operation, made of method and path."""
    words = re.sub(r"[^a-zA-Z0-9]+", "_", route.path.replace("{", "by_")).strip("_")
    return f"{route.method.lower()}_{words}" if words else route.method.lower()


def _types(routes: Iterable[Route]) -> list[Any]:
    """Every type the document speaks of, once."""
    types: dict[int, Any] = {id(Problem): Problem}
    for route in routes:
        for type_ in (route.params, route.body, route.reads, route.returns, *route.also.values()):
            if type_ is not None and type_ is not bytes:
                types[id(type_)] = type_
    return list(types.values())


def _operation(route: Route, parameters: list[Json], by_type: dict[int, Any], *, tokens: bool) -> Json:
    operation: Json = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": parameters,
        "responses": _responses(route, by_type, tokens=tokens),
    }
    if route.description:
        operation["description"] = route.description
    if tokens and route.role == "public":
        operation["security"] = []
    if route.role != "public":
        operation["x-role"] = route.role
    if route.body is not None:
        operation["requestBody"] = _body(route, by_type)
    return operation


def _body(route: Route, by_type: dict[int, Any]) -> Json:
    type_ = route.reads if route.body is bytes else route.body
    schema: Json = {"type": "string"} if type_ is None else by_type[id(type_)]
    content = {
        media_type: {"schema": schema if media_type == "application/json" else {"type": "string"}}
        for media_type in route.accepts
    }
    return {"required": route.body is bytes or not _nullable(schema), "content": content}


def _responses(route: Route, by_type: dict[int, Any], *, tokens: bool) -> Json:
    responses: Json = {}
    for status, type_ in {route.status: route.returns, **route.also}.items():
        response: Json = {"description": HTTPStatus(status).phrase}
        if type_ is not None and type_ is not bytes:
            response["content"] = {route.media_type: {"schema": by_type[id(type_)]}}
        elif route.media_type != "application/json":
            response["content"] = {route.media_type: {"schema": {"type": "string"}}}
        responses[str(status)] = response
    problem = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    for status in statuses(route, tokens=tokens):
        responses.setdefault(str(status), {"description": HTTPStatus(status).phrase, "content": problem})
    return dict(sorted(responses.items()))


def _parameters(route: Route, components: Json, by_type: dict[int, Any]) -> list[Json]:
    if route.params is None:
        return []
    schema = cast("Json", by_type[id(route.params)])
    schema = components[schema["$ref"].rpartition("/")[2]]
    in_path = frozenset(re.findall(r"{([^}]+)}", route.path))
    shapes = Parameters(route.params, in_path).shapes
    required = set(schema.get("required", ()))
    return [
        _parameter(name, written, shapes[name], in_path=name in in_path, required=name in required)
        for name, written in schema.get("properties", {}).items()
    ]


def _parameter(name: str, schema: Json, shape: Shape, *, in_path: bool, required: bool) -> Json:
    schema = _not_null(schema)
    parameter: Json = {"name": name, "in": "path" if in_path else "query", "required": in_path or required}
    description = schema.pop("description", None)
    if shape == "map":
        schema = {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:.+$"}}
    if in_path and schema.get("type") == "string":
        schema = {"minLength": 1, "maxLength": 100, **schema}
    if shape in {"many", "split", "map"}:
        parameter |= {"style": "form", "explode": True}
    if description:
        parameter["description"] = description
    return {**parameter, "schema": schema}


def _not_null(schema: Json) -> Json:
    """A parameter's schema without null: not given is how a query says it."""
    schema = dict(schema)
    if schema.get("default", ...) is None or schema.get("default") in ([], (), {}):
        schema.pop("default")
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del schema["anyOf"]
        return {**options[0], **schema}
    return schema


def _plain(schema: Any) -> Any:
    """The schema with decimals as the numbers they are printed as."""
    if isinstance(schema, dict):
        entries = cast("Json", schema)
        if _DECIMAL.items() <= entries.items():
            entries = {name: value for name, value in entries.items() if name not in _DECIMAL} | {"type": "number"}
        return {name: _plain(value) for name, value in entries.items()}
    if isinstance(schema, list | tuple):
        return [_plain(entry) for entry in cast("list[Any]", schema)]
    return schema


def _nullable(schema: Json) -> bool:
    return {"type": "null"} in schema.get("anyOf", ())


def _references(value: Any) -> set[str]:
    """The names of the components something refers to."""
    if isinstance(value, dict):
        entries = cast("Json", value)
        found = {str(entries["$ref"]).rpartition("/")[2]} if "$ref" in entries else set[str]()
        return found.union(*map(_references, entries.values()))
    if isinstance(value, list):
        return set[str]().union(*map(_references, cast("list[Any]", value)))
    return set()


def _reachable(components: Json, used: set[str]) -> Json:
    """The components that are used, directly or by others: params Structs stand in the parameters alone."""
    waiting, seen = set(used), set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= _references(components[name]) - seen
    return {name: components[name] for name in sorted(seen)}
