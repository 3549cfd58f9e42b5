"""Path and query parameters of a route: read, decoded and validated into the route's `params` Struct."""

from __future__ import annotations

from typing import Any, Literal, cast
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from execlog.core.ids import check_id
from execlog.core.misfit import told
from execlog.web.problem import ProblemError, invalid

Shape = Literal["one", "many", "split", "map"]
"""How a parameter is written: once; repeated; repeated or separated by commas; repeated as "key:value"."""

MAX_FIELDS = 300
_SPLIT = (inspect.EnumType, inspect.LiteralType, inspect.IntType, inspect.FloatType)
_LISTS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)


class Parameters:
    """The parameters of one route, compiled once."""

    def __init__(self, type_: Any, path_names: frozenset[str]) -> None:
        """`path_names` are the parameters in the path; they must be fields of `type_` (a Struct, or None for none)."""
        self.type = type_
        self.path_names = path_names
        self.shapes: dict[str, Shape] = {}
        self._closed = False
        if type_ is not None:
            info = cast("inspect.StructType", inspect.type_info(type_))
            self._closed = info.forbid_unknown_fields
            self.shapes = {field.encode_name: shape_of(field.type) for field in info.fields}
        missing = path_names - self.shapes.keys()
        if missing:
            message = f"{type_} lacks the path's parameters {sorted(missing)}"
            raise TypeError(message)

    def read(self, path: dict[str, str], query: bytes) -> Any:
        """The params Struct; raises ProblemError 400 for what cannot be decoded, 422 for what does not fit."""
        if self.type is None:
            return None
        for name, value in path.items():
            check_id(value, field=name)
        given: dict[str, Any] = dict(path)
        if query:
            for name, value in _pairs(query):
                if name not in self.path_names:
                    self._take(given, name, value)
        try:
            return msgspec.convert(given, self.type, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(told(error, self.type)) from error

    def _take(self, given: dict[str, Any], name: str, value: str) -> None:
        match self.shapes.get(name):
            case "one":
                given[name] = value
            case "many":
                given.setdefault(name, []).append(value)
            case "split":
                given.setdefault(name, []).extend(part for part in value.split(",") if part)
            case "map":
                key, colon, entry = value.partition(":")
                if not (key and colon):
                    raise ProblemError(422, f"{name}: write key:value, not {value[:60]!r}", field=name)
                given.setdefault(name, {})[key] = entry
            case None if self._closed:
                known = ", ".join(sorted(self.shapes))
                raise ProblemError(422, f"unknown parameter {name[:60]!r}; known are {known}", field=name[:60])
            case None:
                pass


def shape_of(type_: inspect.Type) -> Shape:
    """How a parameter of this type is written."""
    type_ = bare(type_)
    if isinstance(type_, inspect.DictType):
        return "map"
    if isinstance(type_, _LISTS):
        return "split" if isinstance(bare(type_.item_type), _SPLIT) else "many"
    return "one"


def bare(type_: inspect.Type) -> inspect.Type:
    """The type without annotations, and without None where it is one of two."""
    while isinstance(type_, inspect.Metadata | inspect.UnionType):
        if isinstance(type_, inspect.Metadata):
            type_ = type_.type
            continue
        others = [option for option in type_.types if not isinstance(option, inspect.NoneType)]
        if len(others) != 1:
            return type_
        type_ = others[0]
    return type_


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(query.decode(), errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError as error:
        raise ProblemError(400, "the query is not UTF-8") from error
    except ValueError as error:
        raise ProblemError(422, f"more than {MAX_FIELDS} parameters") from error
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise ProblemError(422, f"{name[:60]!r} contains a NUL character", field=name[:60])
    return pairs
