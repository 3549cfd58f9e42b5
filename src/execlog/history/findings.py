"""What is found out about an execution that did not go well: `Explanation`, and what it is made of."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from execlog.history.changes import Change
from execlog.history.usual import Unusual
from execlog.history.view import ErrorView, ExecutionView


class Occurrences(Struct, frozen=True, kw_only=True):
    """How often the same error came in the last 30 days, and where."""

    count: int
    first_at: datetime | None
    last_at: datetime | None
    subjects: tuple[str, ...]


class ItemTrouble(Struct, frozen=True, kw_only=True):
    """A failed item, beside the last runs that had it: at most 20, of large ones fewer.

    failed_before  in how many of those (`seen_before`) it failed; in_a_row, in how many of the last
    """

    key: str
    error: ErrorView | None
    failed_before: int
    seen_before: int
    in_a_row: int


class Inside(Struct, frozen=True):
    """Executions inside it that failed: how many, and the first, which the others may come of."""

    count: int
    first: ExecutionView


class Explanation(Struct, frozen=True, kw_only=True):
    """What is known about why an execution did not go well.

    error           its own, or its first failed item's; null for one that succeeded
    occurrences     the same error elsewhere; null where there is none to look for
    last_success    of the same subject, before it
    recovered       the first success of the same subject after it
    failures_since  how many of the same subject failed after its last success and before it
    failing_since   when the first of these began, or it itself
    compared_with   the run before it in which went well what did not here: the last success, or a later one that
                    was partial for the sake of other items
    failures        how many runs that failed so were looked at, itself included
    successes       how many runs that went well were looked at
    changed         what is different from `compared_with`, the telling first
    unusual         figures out of the usual
    items           its failed items, those that are new to failing first: at most a hundred
    inside          executions inside it that failed
    summary         the same in plain words
    """

    error: ErrorView | None
    occurrences: Occurrences | None
    last_success: ExecutionView | None
    recovered: ExecutionView | None
    failures_since: int
    failing_since: datetime | None
    compared_with: ExecutionView | None
    failures: int
    successes: int
    changed: tuple[Change, ...]
    unusual: tuple[Unusual, ...]
    items: tuple[ItemTrouble, ...]
    inside: Inside | None
    summary: tuple[str, ...]
