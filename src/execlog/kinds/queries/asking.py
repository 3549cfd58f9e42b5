"""Putting a query to a database: what is recorded before, a session to ask in, and the page cut out of the result."""

from __future__ import annotations

import time
from typing import Any

from msgspec import Struct

from execlog.core.errors import MissingExtraError, SettingsError
from execlog.core.model import Event, Status
from execlog.kinds.queries.cache import ResultCache
from execlog.kinds.queries.connections import Connection
from execlog.kinds.queries.connectors.base import Params, Session, Statement
from execlog.kinds.queries.lanes import Lane, Sessions
from execlog.kinds.queries.page import Cut, Part, cut
from execlog.kinds.queries.record import DEFAULT_PAGE, KIND, name_of
from execlog.kinds.queries.running import Running
from execlog.kinds.queries.trouble import TroubleError, broken, trouble_of

_SECONDS_TO_MISS_IT = 1.0
"""A server that was gone before is missed at once; a query that ran longer was ended, perhaps on purpose."""


class Query(Struct, frozen=True, kw_only=True):
    """A query somebody wants to be run.

    connection, database_type   which connection: by name, or by type where only one is of that type
    params          in the database's own placeholders: a list, or a dict for named ones
    page            counted from 0
    page_size       None for 100, or as many as the connection allows where that is less
    timeout         seconds; None for the connection's
    metadata        free for the caller, recorded as request_metadata
    fresh           not out of the cache
    """

    query: str
    connection: str | None = None
    database_type: str | None = None
    params: Params = None
    page: int = DEFAULT_PAGE
    page_size: int | None = None
    timeout: float | None = None
    user_id: str | None = None
    conversation_id: str | None = None
    execution_id: str | None = None
    metadata: dict[str, Any] | None = None
    fresh: bool = False


class Place(Struct, frozen=True):
    """What belongs to one connection while the gateway is up."""

    connection: Connection
    lane: Lane
    sessions: Sessions
    cache: ResultCache | None = None


def event_of(query: Query, connection: Connection, execution_id: str, wanted: Cut) -> Event:
    """What is known of a query before it runs."""
    metadata: dict[str, Any] = {"page": wanted.page, "page_size": wanted.page_size}
    if query.conversation_id is not None:
        metadata["conversation_id"] = query.conversation_id
    metadata["connection_params"] = {"connection": connection.name, **connection.connector.facts}
    if query.metadata:
        metadata["request_metadata"] = query.metadata
    params = query.params
    return Event(
        id=execution_id,
        kind=KIND,
        at=0,
        name=name_of(query.query),
        subject=connection.name,
        actor=query.user_id,
        engine=connection.database_type,
        input=query.query,
        params=None if not params else params if isinstance(params, dict) else {"positional": params},
        metadata=metadata,
    )


def ask(running: Running, place: Place, statement: Statement, wanted: Cut) -> Part:
    """The part asked for. A statement that reads is asked again, once, where a kept session's server was gone."""
    session, used = place.sessions.take()
    succeeded = reusable = False
    try:
        running.attach(session)
        before = time.monotonic()
        try:
            answer = session.run(statement)
        except Exception as fault:
            at_once = time.monotonic() - before < _SECONDS_TO_MISS_IT
            if not (used and at_once) or running.reason() or not _was_gone(session, fault, place.connection):
                raise
            session = _replace(session, running, place)
            answer = session.run(statement)
        part = cut(answer, wanted)
        succeeded = True
        return part
    finally:
        # A cancellation may still be on its way to a session that somebody tried to stop.
        reusable = running.detach()
        _put_away(session, place, succeeded=succeeded, reusable=reusable)


def _was_gone(session: Session, fault: Exception, connection: Connection) -> bool:
    """Whether the statement may be asked again: one that writes may have been run, and its answer lost."""
    lost = trouble_with(fault, connection).status is Status.CRASHED and not session.is_quiet()
    return lost and connection.limits.read_only


def _replace(session: Session, running: Running, place: Place) -> Session:
    running.detach()
    session.close()
    fresh = place.connection.connector.open()
    running.attach(fresh)
    return fresh


def _put_away(session: Session, place: Place, *, succeeded: bool, reusable: bool) -> None:
    try:
        if session.finish(succeeded=succeeded) and reusable:
            place.sessions.give_back(session)
            return
    except Exception:
        session.close()
        if succeeded:
            raise
        return
    session.close()


def trouble_with(fault: Exception, connection: Connection) -> TroubleError:
    """What an exception means, whoever raised it."""
    if isinstance(fault, TroubleError):
        return fault
    if isinstance(fault, MissingExtraError | SettingsError):
        return broken(type(fault).__name__, str(fault))
    return connection.connector.trouble(fault) if not isinstance(fault, TimeoutError) else trouble_of(fault)


def place_of(connection: Connection) -> Place:
    """The place of a connection; nothing is opened yet."""
    limits = connection.limits
    lane = Lane(connection.name, size=limits.max_concurrent, waiting=limits.max_waiting)
    cache = ResultCache(ttl=limits.cache_ttl, most_bytes=limits.cache_bytes) if limits.cache_ttl else None
    return Place(connection, lane, Sessions(connection.connector, keep=limits.max_concurrent), cache)
