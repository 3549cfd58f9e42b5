"""Workflows as documents: read from JSON or YAML, and the JSON Schema they follow."""

from __future__ import annotations

import codecs
import re
import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any, cast

import msgspec

from execlog.core.codec import convert
from execlog.core.errors import InvalidError, MissingExtraError
from execlog.kinds.workflows.definition import Workflow

MAX_BYTES = 1_048_576
SCHEMA_ID = "urn:execlog:workflow:1"
_UNNAMED = 'in "<byte string>", '
"""How PyYAML names a text that came from no file."""
_BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")


def read_workflow(path: str | Path) -> Workflow:
    """The workflow in a file: JSON, or YAML where the name ends so. Raises InvalidError, OSError, MissingExtraError."""
    file = Path(path)
    data = file.read_bytes()
    return parse_workflow(data, form="yaml" if file.suffix.lower() in {".yaml", ".yml"} else "json", where=file.name)


def parse_workflow(data: bytes | str, *, form: str = "json", where: str = "workflow") -> Workflow:
    """The workflow in a text, in the form "json" or "yaml". Raises InvalidError naming the place for what is none."""
    if form not in {"json", "yaml"}:
        raise InvalidError(f"{where}: a workflow is written as json or yaml, not {form!r:.40}", field="form")
    raw = (data.encode() if isinstance(data, str) else data).removeprefix(codecs.BOM_UTF8)
    if len(raw) > MAX_BYTES:
        raise InvalidError(f"{where}: a workflow may have {MAX_BYTES} bytes")
    try:
        plain = _from_yaml(raw, where) if form == "yaml" else msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"{where}: not JSON: {error}") from error
    return workflow_of(plain, where=where)


def workflow_of(plain: Any, *, where: str = "workflow") -> Workflow:
    """The workflow of plain values. Raises InvalidError naming the place."""
    try:
        return convert(plain, Workflow)
    except InvalidError as error:
        raise InvalidError(f"{where}: {error}{_named(plain, str(error))}") from error


def schema() -> bytes:
    """The JSON Schema (2020-12) of a workflow, pretty-printed."""
    written: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    written["title"] = "An execlog workflow"
    written |= _tidy(msgspec.json.schema(Workflow))
    pretty: bytes = msgspec.json.format(msgspec.json.encode(written), indent=2)
    return pretty + b"\n"


def _tidy(value: Any) -> Any:
    """The schema with the docstrings in it as plain texts."""
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {name: _tidy(entry) for name, entry in entries.items()} | (
            {"description": cleandoc(entries["description"])} if isinstance(entries.get("description"), str) else {}
        )
    return [_tidy(entry) for entry in cast("list[Any]", value)] if isinstance(value, list) else value


def _named(plain: Any, message: str) -> str:
    """The step an error speaks of by number, by its id."""
    place = message.partition("$.steps[")[2].partition("]")[0]
    try:
        return f" (step {plain['steps'][int(place)]['id']!r})"
    except (ValueError, LookupError, TypeError):
        return ""


def _from_yaml(raw: bytes, where: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("yaml", needed_for="reading a workflow from YAML") from error
    try:
        return yaml.load(raw, Loader=_loader(yaml))  # noqa: S506 - it is a SafeLoader
    except yaml.YAMLError as error:
        raise InvalidError(f"{where}: not YAML: {str(error).replace(_UNNAMED, '')}") from error


def _loader(yaml: Any) -> Any:
    """A safe loader that takes no aliases (a few of them can stand for gigabytes) and no key twice."""
    base: Any = yaml.SafeLoader

    def compose_node(self: Any, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases are not taken here{self.peek_event().start_mark}")
        return base.compose_node(self, parent, index)

    def construct_mapping(self: Any, node: Any, deep: Any = False) -> Any:  # noqa: FBT002 - theirs
        keys: list[Any] = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(f"{', '.join(twice)} stands twice{node.start_mark}")
        return base.construct_mapping(self, node, deep)

    # As in JSON and YAML 1.2: 2024-01-01, yes, no, on and off are texts.
    texts = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
    resolvers: dict[str, list[Any]] = {
        first: [(tag, pattern) for tag, pattern in known if tag not in texts]
        for first, known in base.yaml_implicit_resolvers.items()
    }
    for first in "tTfF":
        resolvers[first] = [*resolvers.get(first, []), ("tag:yaml.org,2002:bool", _BOOLEAN)]
    members = {
        "compose_node": compose_node,
        "construct_mapping": construct_mapping,
        "yaml_implicit_resolvers": resolvers,
    }
    return type("Loader", (base,), members)


if __name__ == "__main__":
    sys.stdout.buffer.write(schema())
