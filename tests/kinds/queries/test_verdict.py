"""What an error makes of a query."""

from __future__ import annotations

import asyncio

import pytest

from execlog.core.model import Status
from execlog.kinds.queries.verdict import judge, judge_text


class QueryTimeoutError(Exception):
    pass


class OperationalError(Exception):
    pass


class QueryCanceled(OperationalError):  # noqa: N818 - as psycopg calls its own
    pass


class SyntaxRefusedError(Exception):
    pass


class ReadTimeout(OperationalError):  # noqa: N818 - as requests calls its own
    pass


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (TimeoutError(), Status.TIMED_OUT),
        (QueryTimeoutError("x"), Status.TIMED_OUT),
        (ReadTimeout("x"), Status.TIMED_OUT),
        (OperationalError("canceling statement due to statement timeout: timed out"), Status.TIMED_OUT),
        (OperationalError("server closed the connection unexpectedly"), Status.CRASHED),
        (OperationalError("no such table: t"), Status.FAILED),
        (RuntimeError("Query exceeded maximum run time limit of 10s"), Status.TIMED_OUT),
        (SyntaxRefusedError("near 'timed out': syntax error"), Status.FAILED),
        (KeyError("timed out"), Status.FAILED),
        (OperationalError("no such column: timeout"), Status.FAILED),
        (OperationalError("lock timeout"), Status.TIMED_OUT),
        (QueryCanceled("canceling statement due to statement timeout"), Status.TIMED_OUT),
        (QueryCanceled("canceling statement due to user request"), Status.CANCELLED),
        (
            OperationalError(3024, "Query execution was interrupted, maximum statement execution time exceeded"),
            Status.TIMED_OUT,
        ),
        (ConnectionRefusedError(), Status.CRASHED),
        (BrokenPipeError(), Status.CRASHED),
        (EOFError(), Status.CRASHED),
        (asyncio.CancelledError(), Status.CANCELLED),
    ],
)
def test_the_type_decides_and_the_message_only_where_it_says_nothing(fault, status):
    assert judge(fault) is status


@pytest.mark.parametrize(
    ("kind", "message", "status"),
    [
        ("TimeoutError", "", Status.TIMED_OUT),
        ("psycopg.errors.QueryCanceled", "", Status.CANCELLED),
        ("psycopg.errors.QueryCanceled", "canceling statement due to statement timeout", Status.TIMED_OUT),
        ("requests.exceptions.ConnectTimeout", "", Status.TIMED_OUT),
        ("requests.exceptions.ConnectionError", "Max retries exceeded", Status.CRASHED),
        (None, "the query timed out", Status.TIMED_OUT),
        ("Error", "connection refused", Status.CRASHED),
        ("UndefinedTable", 'relation "timed out" does not exist', Status.FAILED),
        (None, None, Status.FAILED),
    ],
)
def test_texts_are_judged_likewise(kind, message, status):
    assert judge_text(kind, message) is status
