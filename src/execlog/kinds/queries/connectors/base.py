"""The ports of a database: a `Connector` opens `Session`s, a session runs one query at a time and can be cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from execlog.kinds.queries.lexer import Dialect
from execlog.kinds.queries.trouble import TroubleError

Params = list[Any] | dict[str, Any] | None


class Column(Struct, frozen=True):
    """A column of a result: its name, and its type as the database calls it ("" where it does not say)."""

    name: str
    type: str = ""


class Statement(Struct, frozen=True):
    """What is to be run.

    text      one statement, without a `;` after it
    params    in the database's own placeholders; None for none
    timeout   seconds left: the gateway cancels then, and a database that can be told is told
    offset, limit   the rows that are wanted, for a database that can cut them out itself
    max_bytes       most bytes of a page, for a database that can refuse longer values itself
    """

    text: str
    params: Params = None
    timeout: float = 30.0
    offset: int = 0
    limit: int = 100
    max_bytes: int = 10 * 2**20


class Answer(Struct, frozen=True):
    """A result that is being read: its columns, and its rows one after the other, as the driver has them.

    The session holds no more rows than it must to have the next one: how large they are is not known before.

    affected   rows changed, for a statement that changes some
    total      rows of the whole result, where `rows` are only those that were wanted
    """

    columns: tuple[Column, ...]
    rows: Iterable[Sequence[Any]]
    affected: int | None = None
    total: int | None = None


class Session(Protocol):
    """One connection to a database. Used by one thread at a time, except `cancel` and `hang_up`."""

    def run(self, statement: Statement) -> Answer:
        """The statement's result, once there is one; errors are the driver's own."""
        ...

    def finish(self, *, succeeded: bool) -> bool:
        """Whether the session may be used again: what the query left open is ended, its changes kept or undone."""
        ...

    def is_quiet(self) -> bool:
        """Whether the server of an idle one has not hung up, as far as can be told without asking it."""
        ...

    def cancel(self) -> None:
        """Make the database stop the query, from another thread. It may have ended already; never raises for that."""
        ...

    def hang_up(self) -> None:
        """Give up a query that does not end, from another thread: the one that waits for it wakes up, if it can be.

        What the driver holds is not freed: its library may be in the middle of it. The waiting thread does, by `close`.
        Never raises.
        """
        ...

    def close(self) -> None:
        """Free what the driver holds; by the thread that uses it. Never raises, and twice is fine."""
        ...


class Connector(Protocol):
    """A kind of database, configured."""

    @property
    def dialect(self) -> Dialect | None:
        """What its SQL looks like; None when it does not speak SQL."""
        ...

    @property
    def language(self) -> str:
        """What sqlglot calls its dialect; "" for none."""
        ...

    @property
    def facts(self) -> dict[str, str]:
        """Where it is, without anything secret: what is recorded with each query."""
        ...

    def check(self, query: str, *, read_only: bool) -> str:
        """The one statement to run. Raises RefusedError for what may not be run."""
        ...

    def open(self) -> Session:
        """A new session. Raises the driver's errors, or MissingExtraError."""
        ...

    def trouble(self, fault: Exception) -> TroubleError:
        """What a driver's exception means."""
        ...

    def close(self) -> None:
        """Release what sessions share."""
        ...
