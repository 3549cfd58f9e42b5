"""Templates in a workflow's texts: jinja2 in its sandbox, with `input`, `steps` and `execution` to speak of.

The sandbox keeps a template from reaching Python's insides and from changing what it is given. It does not bound what
a template may compute: workflows are written by those who may run code here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec
from jinja2 import StrictUndefined, TemplateError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from execlog.core.errors import InvalidError

NAMES = frozenset({"input", "steps", "execution"})
MAX_TEXT = 1_000_000
_JSON: tuple[Any, ...] = (dict, list, tuple, int, float, type(None))
_ONE = re.compile(r"\s*\{\{(?P<expression>(?:(?!\{\{|\}\}).)*)\}\}\s*", re.DOTALL)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, in which `input.items` is the entry of that name before it is a dict's method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return cast("Mapping[str, Any]", obj)[attribute]
        return super().getattr(obj, attribute)


def as_text(value: Any) -> str:
    """A value as a prompt or a command takes it: a text as it is, a date by ISO 8601, anything else as JSON."""
    if isinstance(value, str):
        return value
    plain = value if isinstance(value, _JSON) else _plain(value)
    if isinstance(plain, str):
        return plain
    try:
        return json.dumps(plain, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def _shown(value: Any) -> Any:
    """What a template writes for a value; jinja itself has something to say of one that is not there."""
    return value if isinstance(value, Undefined) else as_text(value)


_environment: Any = _Environment(
    undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=_shown
)
"""Texts go into prompts and arguments, not into pages: nothing is escaped for HTML."""


def resolve(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with every template in it resolved. Raises InvalidError for what cannot be resolved."""
    if isinstance(value, str):
        return _resolve_text(value, names)
    if isinstance(value, Mapping):
        return {key: resolve(entry, names) for key, entry in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [resolve(entry, names) for entry in cast("list[Any]", value)]
    return value


def holds(condition: str, names: Mapping[str, Any]) -> bool:
    """Whether a `when` holds; it may be written with or without `{{ }}`. Raises InvalidError."""
    value = _evaluate(_bare(condition), names)
    try:
        return bool(value)
    except Exception as error:  # as that of an array, which is neither true nor false
        raise InvalidError(f"condition {condition!r:.120}: {_said(error)}") from error


def references(value: Any, *, condition: bool = False) -> set[str]:
    """The ids of the steps that the templates in a value name. Raises InvalidError for what is no template.

    A name that is none of `input`, `steps` and `execution`, and a step chosen only at run time, are refused too.
    """
    found: set[str] = set()
    for text in _texts(value):
        tree = _parse("{{" + _bare(text) + "}}" if condition else text)
        _check_names(tree, text)
        found |= _steps_in(tree, text)
    return found


def is_template(text: str) -> bool:
    """Whether a text has a template in it."""
    return any(mark in text for mark in ("{{", "{%", "{#"))


def _resolve_text(text: str, names: Mapping[str, Any]) -> Any:
    if not is_template(text):
        return text
    one = _ONE.fullmatch(text)
    if one:
        return _evaluate(one["expression"], names)
    try:
        rendered = _template(text).render(names)
    except Exception as error:  # what it is given may be of any class, and raise anything when it is looked at
        raise InvalidError(f"template {text!r:.120}: {_said(error)}") from error
    if len(rendered) > MAX_TEXT:
        raise InvalidError(f"template {text!r:.120} makes {len(rendered)} characters; at most {MAX_TEXT} are taken")
    return rendered


def _evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    try:
        value = _expression(expression)(**names)
        # An undefined value tells so only when it is used.
        return str(value) if isinstance(value, StrictUndefined) else value
    except Exception as error:  # see above
        raise InvalidError(f"expression {expression.strip()!r:.120}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """What an error says, with its type where it is none of a template's own."""
    own = isinstance(error, TemplateError | ArithmeticError | LookupError | TypeError | ValueError)
    return str(error) if own else f"{type(error).__name__}: {error}"


@lru_cache(maxsize=1000)
def _template(text: str) -> Any:
    return _environment.from_string(text)


@lru_cache(maxsize=1000)
def _expression(expression: str) -> Any:
    return _environment.compile_expression(expression.strip(), undefined_to_none=False)


def _bare(condition: str) -> str:
    one = _ONE.fullmatch(condition)
    return one["expression"] if one else condition


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in cast("Mapping[str, Any]", value).values():
            yield from _texts(entry)
    elif isinstance(value, list | tuple):
        for entry in cast("list[Any]", value):
            yield from _texts(entry)


def _parse(text: str) -> nodes.Template:
    try:
        _template(text)  # filters and tests that are not there are noticed only when it is compiled
        return _environment.parse(text)
    except (TemplateError, RecursionError, ValueError) as error:  # a constant's digits may be too many to write
        raise InvalidError(f"template {text!r:.120}: {error}") from error


def _check_names(tree: nodes.Template, text: str) -> None:
    from jinja2.meta import find_undeclared_variables

    unknown = find_undeclared_variables(tree) - NAMES - _environment.globals.keys()
    if unknown:
        said = ", ".join(sorted(unknown))
        raise InvalidError(f"template {text!r:.120} speaks of {said}; it may speak of {', '.join(sorted(NAMES))}")
    if next(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)), None) is not None:
        raise InvalidError(f"template {text!r:.120}: other templates cannot be taken in")


def _steps_in(tree: nodes.Template, text: str) -> set[str]:
    found: set[str] = set()
    named = 0
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if not (isinstance(node.node, nodes.Name) and node.node.name == "steps"):
            continue
        named += 1
        if isinstance(node, nodes.Getattr):
            found.add(node.attr)
        elif isinstance(node.arg, nodes.Const):
            found.add(str(node.arg.value))
        else:
            raise InvalidError(f"template {text!r:.120}: name the step, as in steps.load.output")
    if named < sum(name.name == "steps" for name in tree.find_all(nodes.Name)):
        raise InvalidError(f"template {text!r:.120}: name the step, as in steps.load.output")
    return found
