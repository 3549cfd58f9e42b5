"""What does not fit into a type, in words: msgspec says where, this adds what would fit."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import inspect

_PLACE = re.compile(r" - at `\$([^`]*)`$")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
_type_info = cache(inspect.type_info)


def told(error: msgspec.ValidationError, type_: Any) -> str:
    """What does not fit into this type, and where, with the words that do, or how it is written."""
    message = str(error)
    place = _PLACE.search(message)
    if missing := _MISSING.match(message):
        words, _ = _allowed(_type_info(type_), f"{place[1] if place else ''}.{missing[1]}")
        return f"{missing[0]}{_one_of(words)}{place[0] if place else ''}"
    if place is None:
        return message
    said, words, how = message[: place.start()], *_allowed(_type_info(type_), place[1])
    if words and said.startswith(("Invalid enum value", "Invalid value")):
        said += _one_of(words)
    elif how and "matching regex" in said:
        said = f"Expected {how}"
    return said + place[0]


def _one_of(words: list[str]) -> str:
    return f"; it is one of {', '.join(words)}" if words else ""


def _allowed(node: inspect.Type, place: str) -> tuple[list[str], str]:
    """The words of an enumeration at a place of a type, and how what belongs there is described; nothing for others."""
    whole, (node, how) = node, _bare(node)
    for step in _STEP.finditer(place):
        if tags := _tags(whole, step[1]):
            return tags, ""
        if isinstance(node, inspect.StructType):
            within = [field.type for field in node.fields if field.encode_name == step[1]]
        else:
            within = [getattr(node, "item_type", None) or getattr(node, "value_type", None)]
        if not within or within[0] is None:
            return [], ""
        whole, (node, how) = within[0], _bare(within[0])
    if isinstance(node, inspect.EnumType):
        return [str(one.value) for one in node.cls], how
    return (list(map(str, node.values)) if isinstance(node, inspect.LiteralType) else []), how


def _tags(node: inspect.Type, field: str | None) -> list[str]:
    """The words that tell the structs of a union apart, where this is the field that has them."""
    while isinstance(node, inspect.Metadata):
        node = node.type
    structs = [one for one in getattr(node, "types", ()) if isinstance(one, inspect.StructType)]
    return [str(one.tag) for one in structs if field and one.tag_field == field]


def _bare(node: inspect.Type) -> tuple[inspect.Type, str]:
    """A type without annotations and without None beside it, and how the innermost annotation describes it."""
    how = ""
    while isinstance(node, inspect.Metadata | inspect.UnionType):
        if isinstance(node, inspect.UnionType):
            node = next(one for one in node.types if not isinstance(one, inspect.NoneType))
            continue
        schema = cast("dict[str, Any]", node.extra_json_schema or {})  # pyright: ignore[reportUnknownMemberType] - JSON
        if "description" in schema:
            examples = ", ".join(map(str, schema.get("examples", ())))
            how = f"{schema['description']}: {examples}" if examples else str(schema["description"])
        node = node.type
    return node, how
