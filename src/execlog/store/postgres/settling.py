"""Where executions are: the kinds there are, and the places a filter's subject is in."""

from __future__ import annotations

from execlog.core.filter import Filter
from execlog.store.postgres.connection import Session
from execlog.store.sql import queries
from execlog.store.sqlite.query import Places, placed

_SQL = queries("postgres", "read")


def settle(session: Session, filter: Filter) -> tuple[Filter, Places] | None:
    """The filter with the places of its subject known, which its index is in the order of; None if there are none."""
    if not filter.subject or (filter.kind is not None and filter.namespace is not None):
        return filter, ()
    kinds = [filter.kind] if filter.kind is not None else kinds_of(session)
    bindings = {"subject": filter.subject, "kinds": kinds, "namespace": filter.namespace}
    places: Places = tuple((kind, namespace) for kind, namespace in session.rows(_SQL["places"], bindings))
    return placed(filter, places) if places else None


def kinds_of(session: Session) -> list[str]:
    """The kinds that have executions."""
    return [row[0] for row in session.rows(_SQL["kinds"])]
