"""Why a query did not succeed.

TroubleError            with the status it is recorded as, an error type and a message
└── RefusedError        refused before the database saw it: not one statement, not read-only
"""

from __future__ import annotations

from execlog.core.model import Error, Status
from execlog.kinds.queries.verdict import CANCELLED_TYPE, judge
from execlog.recorder.fault import MAX_MESSAGE


class TroubleError(Exception):
    """A query's end that is not success, in the words it is recorded in."""

    def __init__(self, status: Status, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message

    @property
    def error(self) -> Error:
        """What is recorded."""
        return Error(self.kind, self.message[:MAX_MESSAGE])


class RefusedError(TroubleError):
    """The gateway itself refused the query."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(Status.FAILED, kind, message)


def timed_out(message: str) -> TroubleError:
    """The trouble of a query that took too long."""
    return TroubleError(Status.TIMED_OUT, "TimeoutError", message)


def cancelled(message: str) -> TroubleError:
    """The trouble of a query somebody cancelled."""
    return TroubleError(Status.CANCELLED, CANCELLED_TYPE, message)


def broken(kind: str, message: str) -> TroubleError:
    """The trouble of a connection, or a gateway, that broke."""
    return TroubleError(Status.CRASHED, kind, message)


def trouble_of(fault: BaseException) -> TroubleError:
    """The trouble an exception means, for a driver whose exceptions are not known here."""
    if isinstance(fault, TroubleError):
        return fault
    return TroubleError(judge(fault), type(fault).__name__, str(fault) or type(fault).__name__)
