"""Finding one execution by its id, or by the beginning of it."""

from __future__ import annotations

from execlog.cli import units
from execlog.cli.executions import short_ids, title
from execlog.cli.parser import Options
from execlog.cli.place import now
from execlog.core.errors import InvalidError, NotFoundError
from execlog.core.filter import Filter
from execlog.core.model import Execution
from execlog.store.base import Store

_CANDIDATES = 10
_LEAST = 4
"""Characters a beginning must have: fewer is more likely a slip than a search."""


def find_one(store: Store, text: str, options: Options) -> Execution:
    """The whole execution. Raises NotFoundError, and InvalidError with the candidates where several are meant."""
    near = _named(store, text, options) or _beginning_with(store, text, options)
    if not near and len(text) < _LEAST:
        raise NotFoundError(f"no execution {text!r}; of a longer id give at least {_LEAST} characters")
    if not near:
        raise NotFoundError(f"no execution {text!r}; `execlog list` shows what there is")
    if len(near) > 1:
        raise InvalidError(_ambiguous(store, text, near))
    whole = store.get(near[0].id, kind=near[0].kind, namespace=near[0].namespace)
    if whole is None:
        raise NotFoundError(f"execution {near[0].id!r} was removed just now")
    return whole


def _named(store: Store, text: str, options: Options) -> list[Execution]:
    """Those of just this id: an id is unique within a kind and a namespace only."""
    asked = Filter(ids=(text,), kind=options.kind, namespace=options.namespace)
    return list(store.find(asked, limit=_CANDIDATES).entries)


def _beginning_with(store: Store, text: str, options: Options) -> list[Execution]:
    if len(text) < _LEAST:
        return []
    asked = Filter(id_prefix=text, kind=options.kind, namespace=options.namespace)
    return list(store.find(asked, limit=_CANDIDATES).entries)


def _ambiguous(store: Store, text: str, near: list[Execution]) -> str:
    if near[0].id == text:
        lines = [f"{one.kind} {one.namespace}".rstrip() + f"  {one.status.value:<10}{title(one)}" for one in near]
        said = f"several executions have the id {text!r}; tell them apart with --kind and --namespace"
        return f"{said}:\n  " + "\n  ".join(lines)
    ids = short_ids(store, [one.id for one in near])
    lines = [f"{ids[one.id]}  {one.status.value:<10}{title(one)}, {units.age(one.created_at, now())}" for one in near]
    more = "\n  and more" if len(near) == _CANDIDATES else ""
    return f"several executions begin with {text!r}:\n  " + "\n  ".join(lines) + more
