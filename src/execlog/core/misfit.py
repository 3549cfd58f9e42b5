"""What does not fit into a type, in words: msgspec says where, this adds what would fit."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import inspect

_PLACE = re.compile(r" - at `\$([^`]*)`$")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
_type_info = cache(inspect.type_info)


def told(error: msgspec.ValidationError, type_: Any) -> str:
    """What does not fit into this type, and where, with the words that do, or how it is written."""
    message = str(error)
    place = _PLACE.search(message)
    if missing := _MISSING.match(message):
        words, _ = _allowed(_type_info(type_), f"{place[1] if place else ''}.{missing[1]}")
        return f"{missing[0]}{_one_of(words)}{place[0] if place else ''}"
    if unknown := _UNKNOWN.match(message):
        fields = _fields(_at(_type_info(type_), place[1] if place else ""))
        return f"{unknown[0]}{_nearest(unknown[1], fields)}{place[0] if place else ''}"
    if place is None:
        return message
    said, words, how = message[: place.start()], *_allowed(_type_info(type_), place[1])
    if words and said.startswith(("Invalid enum value", "Invalid value")):
        said += _one_of(words)
    elif how and "matching regex" in said:
        said = f"Expected {how}"
    elif how and ", got `" in said:
        said += f" ({how})"
    return said + place[0]


def _one_of(words: list[str]) -> str:
    return f"; it is one of {', '.join(words)}" if words else ""


def _nearest(word: str, known: list[str]) -> str:
    """The known word that was meant, however it is written otherwise."""
    from difflib import get_close_matches

    written = {name.lower().replace("_", ""): name for name in known}
    near = get_close_matches(word.lower().replace("_", ""), written, n=1, cutoff=0.7)
    return f"; did you mean `{written[near[0]]}`?" if near else ""


def _allowed(node: inspect.Type, place: str) -> tuple[list[str], str]:
    """The words of an enumeration at a place of a type, and how what belongs there is described; nothing for others."""
    last = list(_STEP.finditer(place))[-1:]
    if last and (tags := _tags(_at(node, place[: last[0].start()]), last[0][1])):
        return tags, ""
    found = _at(node, place)
    if found is None:
        return [], ""
    node, how = _bare(found)
    if isinstance(node, inspect.EnumType):
        return [str(one.value) for one in node.cls], how
    return (list(map(str, node.values)) if isinstance(node, inspect.LiteralType) else []), how


def _at(node: inspect.Type, place: str) -> inspect.Type | None:
    """The type at a place of a type; of a union's structs, the first that has such a place."""
    found: inspect.Type | None = node
    for step in _STEP.finditer(place):
        if structs := _structs(found):
            within = [field.type for one in structs for field in one.fields if field.encode_name == step[1]]
            found = within[0] if within else None
        elif found is not None:
            bare, _ = _bare(found)
            found = getattr(bare, "item_type", None) or getattr(bare, "value_type", None)
    return found


def _structs(node: inspect.Type | None) -> list[inspect.StructType]:
    """The struct that a type is, or those of a union."""
    while isinstance(node, inspect.Metadata):
        node = node.type
    return [one for one in getattr(node, "types", (node,)) if isinstance(one, inspect.StructType)]


def _fields(node: inspect.Type | None) -> list[str]:
    return [field.encode_name for one in _structs(node) for field in one.fields]


def _tags(node: inspect.Type | None, field: str | None) -> list[str]:
    """The words that tell the structs of a union apart, where this is the field that has them."""
    return [str(one.tag) for one in _structs(node) if field and one.tag_field == field]


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
