"""What an error makes of a query: refused, timed out, cancelled, or broken off.

The exception's own type decides. Its message is looked at only where the type says nothing: a RuntimeError, a driver's
catch-all, a text without a type; and where it says that the query was cancelled, to tell whether a time-out did that.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import re

from execlog.core.model import Status

CANCELLED_TYPE = "Cancelled"
CRASHED_TYPE = "Crashed"
_TIMEOUT_NAME = re.compile(r"time(?:d)?_?out|deadline", re.IGNORECASE)
_CANCEL_NAME = re.compile(r"cancell?ed|interrupt", re.IGNORECASE)
_BROKEN_NAME = re.compile(
    r"connection|broken|disconnect|unreachable|adminshutdown|crashshutdown|cannotconnect|network|ssl|gaierror|"
    r"incompleteread|eoferror",
    re.IGNORECASE,
)
_TIMEOUT_TEXT = re.compile(
    r"\btim(?:ed|ing)[ -]?out\b|deadline exceeded|maximum (?:statement )?(?:run|execution|planning) time|"
    r"(?:statement|query|lock|request|read|connection|execution|operation|socket) time-?out\b|"
    r"\btime-?out (?:after|expired|exceeded|reached|of|while|waiting|error)\b|^\W*time-?out\W*$|"
    r"time limit exceeded|exceeded .{0,40}time limit",
    re.IGNORECASE,
)
_BROKEN_TEXT = re.compile(
    r"connection (?:refused|reset|aborted|closed|lost|was closed)|server closed the connection|broken pipe|"
    r"no route to host|name or service not known|could not connect|connection .{0,40}failed",
    re.IGNORECASE,
)
_SAYS_NOTHING = frozenset(
    {
        "", "exception", "baseexception", "runtimeerror", "error", "databaseerror", "operationalerror", "internalerror",
        "interfaceerror", "trinoqueryerror", "trinoexternalerror", "queryerror", "oserror", "httperror", "warning",
        "unknown",
    }
)  # fmt: skip


def judge(fault: BaseException) -> Status:
    """The status an exception ends a query with."""
    if isinstance(fault, asyncio.CancelledError | concurrent.futures.CancelledError | KeyboardInterrupt):
        return Status.CANCELLED
    if isinstance(fault, TimeoutError):
        return Status.TIMED_OUT
    if isinstance(fault, ConnectionError | EOFError):
        return Status.CRASHED
    # A class says it by its name, or by that of a class it was derived from, before the message is asked.
    for kind in type(fault).__mro__:
        if kind in {Exception, BaseException, object} or kind.__name__.lower() in _SAYS_NOTHING:
            continue
        verdict = _by_name(kind.__name__, str(fault))
        if verdict is not None:
            return verdict
    if type(fault).__name__.lower() in _SAYS_NOTHING:
        return _by_text(str(fault))
    return Status.FAILED


def judge_text(kind: str | None, message: str | None) -> Status:
    """The status that an error's type and message, both as text, end a query with."""
    name = (kind or "").rpartition(".")[2]
    verdict = _by_name(name, message or "")
    if verdict is not None:
        return verdict
    return _by_text(message or "") if name.lower() in _SAYS_NOTHING else Status.FAILED


def _by_name(name: str, message: str) -> Status | None:
    if _TIMEOUT_NAME.search(name):
        return Status.TIMED_OUT
    if _CANCEL_NAME.search(name):
        return Status.TIMED_OUT if _TIMEOUT_TEXT.search(message) else Status.CANCELLED
    return Status.CRASHED if _BROKEN_NAME.search(name) else None


def _by_text(message: str) -> Status:
    if _TIMEOUT_TEXT.search(message):
        return Status.TIMED_OUT
    return Status.CRASHED if _BROKEN_TEXT.search(message) else Status.FAILED
