"""The three questions of operators, as rows of the route table."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from execlog.core.filter import MAX_LIMIT
from execlog.kind import Call, Kind, Route
from execlog.kinds.pipelines import answers
from execlog.kinds.pipelines.answers import PipelineEntries, SchedulerHealth, StalenessReport
from execlog.kinds.pipelines.words import FEATURE, PIPELINE, WORDS
from execlog.ledger import Ledger
from execlog.store.pairs import Band

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]


class StalenessQuestion(Struct, frozen=True):
    """How many pairs of each band are listed, and which."""

    limit: Limit = 50
    calendar_status: Annotated[Band | None, Meta(description="Only pairs with this verdict of their calendar")] = None


class HistoryQuestion(Struct, frozen=True):
    """How many executions are listed."""

    limit: Limit = 20


class Admin:
    """The handlers, over one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def health(self, _call: Call) -> SchedulerHealth:
        """Whether pipelines do their work."""
        return answers.health_of(self._ledger.store, self._ledger.clock.now())

    def staleness(self, call: Call) -> StalenessReport:
        """How fresh the features of all monitored pairs are."""
        asked: StalenessQuestion = call.params
        store, now = self._ledger.store, self._ledger.clock.now()
        return answers.staleness_of(store, now, limit=asked.limit, calendar_status=asked.calendar_status)

    def history(self, call: Call) -> PipelineEntries:
        """Pipeline executions, the newest first."""
        return answers.entries_of(self._ledger.store, self._ledger.clock.now(), limit=call.params.limit)


def pipeline_kind(ledger: Ledger) -> Kind:
    """Pipelines, with their routes over a ledger."""
    admin = Admin(ledger)
    routes = (
        Route(
            method="GET",
            path="/api/v1/admin/scheduler-health",
            handler=admin.health,
            summary="Whether pipelines do their work, and why not",
            returns=SchedulerHealth,
            tag="pipelines",
        ),
        Route(
            method="GET",
            path="/api/v1/admin/features/staleness",
            handler=admin.staleness,
            summary="How fresh the features of all monitored pairs are, the stalest first",
            params=StalenessQuestion,
            returns=StalenessReport,
            tag="pipelines",
        ),
        Route(
            method="GET",
            path="/api/v1/admin/scheduler/execution-history",
            handler=admin.history,
            summary="Pipeline executions, the newest first",
            params=HistoryQuestion,
            returns=PipelineEntries,
            tag="pipelines",
        ),
    )
    return Kind(name=PIPELINE, words=dict(WORDS), routes=routes)


def feature_kind() -> Kind:
    """Computations of one pair's features outside of a pipeline's items; no routes of their own."""
    return Kind(name=FEATURE, words=dict(WORDS))
