"""The general API over all kinds: executions, statistics, failures, and what other processes and languages record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from execlog.core.errors import ConflictError, JournalError
from execlog.core.filter import MAX_LIMIT, Filter
from execlog.core.model import Execution, Key
from execlog.history import comparison, dossier, explanation, listing, statistics
from execlog.history.findings import Explanation
from execlog.history.kin import baseline
from execlog.history.question import AnyOf, Id, Limit, Name, Narrow, Offset, as_filter, statuses
from execlog.history.view import ItemView, LogView, view_item, view_log
from execlog.kind import Call, Reply
from execlog.ledger import Ledger
from execlog.store.base import GroupBy
from execlog.web.batch import Batch

_SECONDS_TO_FLUSH = 2.0


class One(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which execution; kind and namespace tell two of one id apart."""

    id: Id
    kind: Name | None = None
    namespace: Name | None = None


class TwoOf(One, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which two; the other one is of the same kind and namespace unless it says otherwise."""

    other: Annotated[Id, Meta(description="Without it: the last one that went well before it")] | None = None
    other_kind: Name | None = None
    other_namespace: Name | None = None


class PartsOfOne(One, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of one execution's parts."""

    limit: Limit = 200
    offset: Offset = 0


class StatsQuestion(Narrow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which executions, and what they are grouped by."""

    group_by: GroupBy | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000, description="Most groups")] = 1_000


class FailuresQuestion(Narrow, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which failures."""

    limit: Limit = 50


class LatestQuestion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest execution of which subjects."""

    kind: Name | None = None
    namespace: Name | None = None
    subject: (
        Annotated[Name, Meta(description="Only of this one; where none is called so, by a name of the last 30 days")]
        | None
    ) = None
    status: AnyOf = ()
    limit: Limit = 100


class PostOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How safe it must be before the answer: `durable=true` waits until it survives a power cut."""

    durable: bool = False


class ItemList(Struct, frozen=True):
    """A page of items, in the order they were given; `total` of them all."""

    items: tuple[ItemView, ...]
    total: int


class LogList(Struct, frozen=True):
    """A page of log lines, oldest first; `total` of them all."""

    logs: tuple[LogView, ...]
    total: int


class Executions:
    """The handlers of the general API over one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def find(self, call: Call) -> listing.ExecutionList:
        """A page of executions."""
        return listing.list_executions(self._ledger.store, call.params, now=self._now(), actor=call.principal.actor)

    def get(self, call: Call) -> dossier.Dossier:
        """One execution, whole."""
        return dossier.dossier(self._ledger.store, self._one(call), actor=call.principal.actor)

    def items(self, call: Call) -> ItemList:
        """A page of one execution's items."""
        items = self._one(call).items
        page = items[call.params.offset : call.params.offset + call.params.limit]
        return ItemList(tuple(map(view_item, page)), len(items))

    def logs(self, call: Call) -> LogList:
        """A page of one execution's log lines."""
        logs = self._one(call).logs
        page = logs[call.params.offset : call.params.offset + call.params.limit]
        return LogList(tuple(map(view_log, page)), len(logs))

    def explanation(self, call: Call) -> Explanation:
        """Why one execution did not succeed."""
        return explanation.explain(self._ledger.store, self._one(call), now=self._now(), actor=call.principal.actor)

    def comparison(self, call: Call) -> comparison.Comparison:
        """Two executions side by side."""
        params: TwoOf = call.params
        one = self._one(call)
        kind, namespace = params.other_kind or one.kind, params.other_namespace or one.namespace
        actor = call.principal.actor
        store = self._ledger.store
        if params.other is None:
            return comparison.compare(one, baseline(store, one, actor=actor))
        return comparison.compare(one, dossier.get(store, params.other, kind=kind, namespace=namespace, actor=actor))

    def stats(self, call: Call) -> statistics.Statistics:
        """Statistics over executions that ended."""
        params: StatsQuestion = call.params
        asked = as_filter(params, now=self._now(), actor=call.principal.actor)
        return statistics.statistics(self._ledger.store, asked, group_by=params.group_by, limit=params.limit)

    def failures(self, call: Call) -> listing.FailureList:
        """Failures by what they have in common."""
        asked = as_filter(call.params, now=self._now(), actor=call.principal.actor)
        return listing.list_failures(self._ledger.store, asked, limit=call.params.limit)

    def latest(self, call: Call) -> listing.ExecutionList:
        """The latest execution of each subject."""
        params: LatestQuestion = call.params
        asked = Filter(
            kind=params.kind,
            namespace=params.namespace,
            subject=params.subject,
            statuses=statuses(params.status),
            actor=call.principal.actor,
        )
        return listing.list_latest(self._ledger.store, asked, limit=params.limit, now=self._now())

    def record(self, call: Call) -> Reply:
        """Take in what another process says about its executions."""
        recorder = self._ledger.recorder
        actor = call.principal.actor
        batch = Batch(
            new_id=self._ledger.new_id,
            stamp=recorder.stamp,
            now=self._now(),
            actor=actor,
            foreign=lambda keys: self._foreign(keys, actor),
        )
        batch.take(call.body, call.headers.get("content-type", "").partition(";")[0].strip().lower())
        preferred = _prefers_durable(call.headers.get("prefer", ""))
        durable = call.params.durable or preferred
        for event in (*batch.events, *batch.leases):
            if not recorder.append(event):
                raise JournalError("the journal takes no records right now; send them again later")
        if durable and not recorder.sync():
            raise JournalError("what was sent could not be made durable; send it again later")
        headers = {"Preference-Applied": "durable"} if preferred else {}
        return Reply(batch.receipt(), status=201 if durable else 202, headers=headers)

    def delete(self, call: Call) -> None:
        """Remove one execution."""
        # What was accepted before this call must not come back after it.
        self._ledger.flush(_SECONDS_TO_FLUSH)
        execution = self._one(call)
        asked = Filter(kind=execution.kind, namespace=execution.namespace, ids=(execution.id,))
        if not self._ledger.store.delete(asked):
            raise ConflictError(f"execution {execution.id!r} was removed by somebody else meanwhile")

    def _one(self, call: Call) -> Execution:
        params: One = call.params
        actor = call.principal.actor
        return dossier.get(self._ledger.store, params.id, kind=params.kind, namespace=params.namespace, actor=actor)

    def _foreign(self, keys: Sequence[Key], actor: str | None) -> set[Key]:
        """The executions among these that another has; raises JournalError where it cannot be told."""
        if not self._ledger.flush(_SECONDS_TO_FLUSH):
            raise JournalError("whose executions these are cannot be told right now; send them again later")
        groups: dict[tuple[str, str], list[str]] = {}
        for key in keys:
            groups.setdefault((key.kind, key.namespace), []).append(key.id)
        found: set[Key] = set()
        for (kind, namespace), ids in groups.items():
            for start in range(0, len(ids), MAX_LIMIT):
                asked = Filter(kind=kind, namespace=namespace, ids=tuple(ids[start : start + MAX_LIMIT]))
                known = self._ledger.store.find(asked, limit=MAX_LIMIT).entries
                found.update(one.key for one in known if one.actor != actor)
        return found

    def _now(self) -> int:
        return self._ledger.clock.now()


def _prefers_durable(header: str) -> bool:
    """Whether a Prefer header (RFC 7240) names `durable`."""
    return any(part.partition(";")[0].strip().lower() == "durable" for part in header.split(","))
