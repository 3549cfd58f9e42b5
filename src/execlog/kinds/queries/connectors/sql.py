"""What connectors of SQL databases share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from execlog.core.model import Status
from execlog.kinds.queries.lexer import Dialect
from execlog.kinds.queries.statements import check_reads, single
from execlog.kinds.queries.trouble import TroubleError


def check_sql(query: str, dialect: Dialect, *, read_only: bool) -> str:
    """The one statement of the query. Raises RefusedError."""
    statement, said = single(query, dialect)
    if read_only:
        check_reads(said, dialect)
    return statement


def rows(cursor: Any) -> Iterator[Sequence[Any]]:
    """The rows of a DBAPI cursor, one at a time: of many at once, the first would wait in memory for the last."""
    return iter(cursor.fetchone, None)


def named(fault: Exception, status: Status) -> TroubleError:
    """The trouble of a driver's exception whose status is known."""
    return TroubleError(status, type(fault).__name__, str(fault) or type(fault).__name__)
