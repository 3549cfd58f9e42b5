"""Which executions are looked through for the newest of each subject before each subject is asked for its own.

Most subjects that are asked for ran lately. Asking each costs a look per subject, and far more where a filter lets
through few of a subject's executions: who never ran a job is looked for in all of its history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from execlog.core.filter import Filter
from execlog.store.matching import only

T = TypeVar("T")
NEAR, FAR, FOR_EACH = 2_000, 100_000, 20
_CHEAP = frozenset({"kind", "namespace", "subject", "statuses", "since", "until"})
"""What each subject's own index leads to."""


def latest(
    filter: Filter, limit: int, among: Callable[[int], list[T] | None], of_each: Callable[[], list[T]]
) -> list[T]:
    """The newest of each subject, at most `limit`: `among` so many of the newest, or where that says None `of_each`."""
    near = FOR_EACH * limit
    for most in (near,) if only(filter, _CHEAP) else (near, FAR):
        found = among(most)
        if found is not None:
            return found
    return of_each()


def first_of_each(rows: Iterable[tuple[T, str, str, str | None]], *, limit: int, most: int) -> list[T] | None:
    """What names the first row of each subject, at most `limit`; None where others may be behind the `most`.

    The rows are (what names it, kind, namespace, subject), newest first.
    """
    first: dict[tuple[str, str, str], T] = {}
    looked_through = 0
    for name, kind, namespace, subject in rows:
        looked_through += 1
        if subject:
            first.setdefault((kind, namespace, subject), name)
    if looked_through == most and len(first) < limit:
        return None
    return list(first.values())[:limit]
