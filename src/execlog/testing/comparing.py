"""Where two answers differ: a path to the first place, and what is there in each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from msgspec import Struct

_NOTHING = "(nothing)"


def assert_same(got: Any, expected: Any, who: str) -> None:
    """Nothing; raises AssertionError naming the first places where `got` differs from `expected`."""
    if got == expected:
        return
    places = [
        f"{path or 'all'}: got {mine!r}, expected {theirs!r}" for path, mine, theirs in _differ(got, expected, "")
    ]
    shown = "\n".join(places[:5]) or f"got {got!r}, expected {expected!r}"
    raise AssertionError(f"{who} differs from MemoryStore:\n{shown[:4000]}")


def _differ(got: Any, expected: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if got == expected:
        return
    if isinstance(got, Struct) and type(got) is type(expected):
        for name in got.__struct_fields__:
            yield from _differ(getattr(got, name), getattr(expected, name), f"{path}.{name}")
    elif isinstance(got, dict) and isinstance(expected, dict):
        yield from _differ_inside(cast("dict[Any, Any]", got), cast("dict[Any, Any]", expected), path)
    elif isinstance(got, list | tuple) and isinstance(expected, list | tuple):
        mine, theirs = cast("list[Any]", got), cast("list[Any]", expected)
        yield from _differ_inside(dict(enumerate(mine)), dict(enumerate(theirs)), path)
    else:
        yield path, got, expected


def _differ_inside(got: dict[Any, Any], expected: dict[Any, Any], path: str) -> Iterator[tuple[str, Any, Any]]:
    for key in {**got, **expected}:
        yield from _differ(got.get(key, _NOTHING), expected.get(key, _NOTHING), f"{path}[{key!r}]")
