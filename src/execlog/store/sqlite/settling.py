"""Where executions are: the kinds and namespaces there are, and those a filter's subject is in."""

from __future__ import annotations

import msgspec

from execlog.core.filter import Filter
from execlog.store.sql import queries
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.query import Places, placed

_SQL = queries("sqlite", "read")
_decode_places = msgspec.json.Decoder(list[tuple[str, str]]).decode


def settle(session: Session, filter: Filter) -> tuple[Filter, Places] | None:
    """The filter with the places of its subject known, which its index is in the order of; None if there are none."""
    if filter.subject is None or (filter.kind is not None and filter.namespace is not None):
        return filter, ()
    kinds = [filter.kind] if filter.kind is not None else kinds_of(session)
    bindings = {"subject": filter.subject, "kinds": kinds, "namespace": filter.namespace}
    places = tuple(_decode_places(session.value(_SQL["places"], bindings)))
    return placed(filter, places) if places else None


def kinds_of(session: Session) -> list[str]:
    """The kinds that have executions."""
    return msgspec.json.decode(session.value(_SQL["kinds"]), type=list[str])


def spaces_of(session: Session) -> list[tuple[str, str]]:
    """Every (kind, namespace) that has executions; "" is among the namespaces of each kind."""
    return _decode_places(session.value(_SQL["spaces"], {"kinds": kinds_of(session)}))
