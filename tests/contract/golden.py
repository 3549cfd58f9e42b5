"""The golden files, and what an answer is held against them with."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

CONTRACT = tomllib.loads(Path(__file__).with_name("contract.toml").read_text(encoding="utf-8"))
JOBS = tomllib.loads(Path(__file__).with_name("jobs.toml").read_text(encoding="utf-8"))
RECORDS = CONTRACT["records"] | JOBS["records"]
TYPES = {"string": str, "integer": int, "number": int | float, "boolean": bool, "array": list, "object": dict}


def check(answer: Any, record: str, where: str) -> None:
    """Every field of the record is there, but for those the contract lets be absent, and is what the contract says."""
    assert isinstance(answer, dict), where
    for named, type_ in RECORDS[record].items():
        name = named.removesuffix("?")
        if name != named and name not in answer:
            continue
        assert name in answer, f"{where}: {name} is missing"
        assert is_of(answer[name], type_), f"{where}: {name} is {answer[name]!r}"


def is_of(value: Any, type_: str) -> bool:
    """Whether a value is of one of the types; a boolean is no number."""
    if value is None:
        return type_.endswith("?")
    wanted = type_.removesuffix("?").split(",")
    return "boolean" in wanted if isinstance(value, bool) else isinstance(value, tuple(TYPES[one] for one in wanted))


def within(answer: Any, path: str) -> list[Any]:
    """What is at the path: "a.b" a field's field, "a[]" each entry of a list."""
    found = [answer]
    for part in filter(None, path.split(".")):
        name = part.removesuffix("[]")
        found = [one[name] for one in found] if name else found
        found = [entry for one in found for entry in one] if part.endswith("[]") else found
    return found
