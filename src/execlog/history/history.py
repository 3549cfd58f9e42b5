"""Asking a history from Python, in the words of the HTTP API and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from execlog.core.clock import iso, micros
from execlog.core.codec import convert
from execlog.core.filter import Filter
from execlog.core.model import Execution
from execlog.history.comparison import Comparison, compare
from execlog.history.dossier import Dossier, dossier, get
from execlog.history.explanation import explain
from execlog.history.findings import Explanation
from execlog.history.kin import baseline
from execlog.history.listing import FailureView, list_executions, list_failures, list_latest
from execlog.history.question import Narrow, Question, Scope, as_filter
from execlog.history.statistics import Statistics, statistics
from execlog.history.view import ExecutionView
from execlog.ledger import Ledger
from execlog.store.base import GroupBy

Q = TypeVar("Q", bound=Scope)
_SECONDS_TO_FLUSH = 2.0
_PAGE = 500
NAMED_WITHIN = "30d"
"""How far back a name is looked for: unlike a subject it has no index."""


class _Some(Narrow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1)]


class _Grouped(Narrow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    group_by: GroupBy | None = None


class History:
    """The answers of a ledger, with what this process recorded before it asked.

    Questions take the words of `GET /api/executions`: kind, namespace, subject, actor, engine, since and until (a
    datetime, ISO 8601, or a span back from now such as "24h"), status (one or several; also "open", "ended", "bad"),
    item, text, fingerprint, min_duration (seconds, or "90s"), max_cost, tags … Every method raises InvalidError for a
    word or value that is none, and StoreError.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def executions(self, *, limit: int = 50, **question: Any) -> tuple[ExecutionView, ...]:
        """The executions asked for, newest first unless `sort` says otherwise; at most `limit` (1 to 1000)."""
        asked = _read(question | {"limit": limit}, Question)
        return list_executions(self._fresh().store, asked, now=self._now()).executions

    def every(self, **question: Any) -> Iterator[ExecutionView]:
        """All executions asked for, read a page at a time, so that memory does not grow with them."""
        asked = _read({"limit": _PAGE} | question, Question)
        store, now = self._fresh().store, self._now()
        while True:
            page = list_executions(store, asked, now=now)
            yield from page.executions
            if page.next_cursor is None:
                return
            asked = _read({"limit": _PAGE} | question | {"cursor": page.next_cursor}, Question)

    def count(self, **question: Any) -> int:
        """How many executions are asked for, exactly."""
        return self._fresh().store.count(as_filter(_read(question, Narrow), now=self._now()))

    def get(self, id: str, *, kind: str | None = None, namespace: str | None = None) -> Dossier:
        """One execution, whole: items, log lines, attempts, children. Raises NotFoundError."""
        return dossier(self._ledger.store, self._one(id, kind, namespace))

    def latest(self, subject: str, **question: Any) -> ExecutionView | None:
        """The newest execution of one subject, else of the last 30 days under this name; None where it never ran."""
        found = self.executions(subject=subject, limit=1, **question)
        if not found:
            found = self.executions(limit=1, name=subject, **{"since": NAMED_WITHIN} | question)
        return found[0] if found else None

    def latest_of_each(
        self, *, kind: str | None = None, namespace: str | None = None, limit: int = 1000
    ) -> tuple[ExecutionView, ...]:
        """The newest execution of each subject, newest first."""
        asked = _read({"kind": kind, "namespace": namespace, "limit": limit}, _Some)
        narrowed = Filter(kind=asked.kind, namespace=asked.namespace)
        return list_latest(self._fresh().store, narrowed, limit=asked.limit, now=self._now()).executions

    def failures(self, *, limit: int = 50, **question: Any) -> tuple[FailureView, ...]:
        """What failed, grouped by what the errors have in common, the latest group first."""
        asked = _read(question | {"limit": limit}, _Some)
        return list_failures(self._fresh().store, as_filter(asked, now=self._now()), limit=asked.limit).failures

    def stats(self, *, group_by: GroupBy | None = None, **question: Any) -> Statistics:
        """Counts, rates, durations (seconds), tokens and cost of the executions that ended, whole and by group."""
        asked = _read(question | {"group_by": group_by}, _Grouped)
        return statistics(self._fresh().store, as_filter(asked, now=self._now()), group_by=asked.group_by)

    def explain(self, id: str, *, kind: str | None = None, namespace: str | None = None) -> Explanation:
        """Why an execution did not succeed, and what changed since it last did. Raises NotFoundError."""
        return explain(self._ledger.store, self._one(id, kind, namespace), now=self._now())

    def compare(self, id: str, other: str | None = None, *, kind: str | None = None) -> Comparison:
        """Two executions side by side; without the other, with the last success before it. Raises NotFoundError."""
        one = self._one(id, kind, None)
        return compare(one, baseline(self._ledger.store, one) if other is None else self._one(other, kind, None))

    def _one(self, id: str, kind: str | None, namespace: str | None) -> Execution:
        return get(self._fresh().store, id, kind=kind, namespace=namespace)

    def _fresh(self) -> Ledger:
        self._ledger.flush(_SECONDS_TO_FLUSH)
        return self._ledger

    def _now(self) -> int:
        return self._ledger.clock.now()


def _read(question: Mapping[str, Any], type_: type[Q]) -> Q:
    """The question of what Python callers have: datetimes, one status for many."""
    plain = {name: value for name, value in question.items() if value is not None}
    for name in ("since", "until"):
        if isinstance(plain.get(name), datetime):
            plain[name] = iso(micros(plain[name]))
    for name in ("status", "id", "include"):
        if isinstance(plain.get(name), str):
            plain[name] = [plain[name]]
    for name in ("min_cost", "max_cost", "min_duration", "max_duration"):
        if isinstance(plain.get(name), int | float):
            plain[name] = f"{plain[name]:.9f}"
        elif name in plain:
            plain[name] = f"{plain[name]}"
    return convert(plain, type_)
