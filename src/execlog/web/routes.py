"""The rows of the route table that belong to no kind: the general API."""

from __future__ import annotations

from execlog.history.comparison import Comparison
from execlog.history.dossier import Dossier
from execlog.history.findings import Explanation
from execlog.history.intake import ExecutionInput
from execlog.history.listing import ExecutionList, FailureList
from execlog.history.question import Question
from execlog.history.statistics import Statistics
from execlog.kind import Route
from execlog.web.batch import NDJSON, Receipt
from execlog.web.executions import (
    Executions,
    FailuresQuestion,
    ItemList,
    LatestQuestion,
    LogList,
    One,
    PartsOfOne,
    PostOptions,
    StatsQuestion,
    TwoOf,
)
from execlog.web.feed import Feeds
from execlog.web.health import Health, HealthView
from execlog.web.metrics import Metrics
from execlog.web.news import FeedQuestion
from execlog.web.stream import EVENT_STREAM

_POST = """One execution as a JSON object, several as a JSON array, or as NDJSON, one a line. 202: taken into the
journal, it survives the death of this process and is readable within a moment. 201, asked for with `durable=true` or
`Prefer: durable`: it survives a power cut. Good entries are kept where others are rejected; only where none is good is
the answer 422. Saying more about the same id (within kind and namespace) is an update. What is posted as running
becomes crashed when nothing is heard of it for `lease_seconds` (default: a day) on the server's clock; posting it as
running again, or with `lease_seconds`, begins that time anew, and an outcome that is posted late still holds."""
_FEED = """Server-sent events: `execution` with the execution's summary when it was created or changed, `deleted` with
its identity, and `gap` where so much happened at once that a reader should load the lists again. Each has an id; a
client that comes back with `Last-Event-ID` (browsers do that by themselves) goes on where it was. Without one the
stream begins now. `away`, without an id, says that the store does not answer; what happens meanwhile follows when it
does."""


def general_routes(executions: Executions, feeds: Feeds) -> list[Route]:
    """The general API over all kinds."""
    return [
        Route(
            method="GET",
            path="/api/executions",
            handler=executions.find,
            summary="A page of executions",
            description="Newest first, or as `sort` says; give `next_cursor` back as `cursor` for the next page.",
            params=Question,
            returns=ExecutionList,
            limited=True,
        ),
        Route(
            method="POST",
            path="/api/executions",
            handler=executions.record,
            summary="Record executions of other processes and languages",
            description=" ".join(_POST.split()),
            params=PostOptions,
            body=bytes,
            accepts=("application/json", *NDJSON),
            reads=ExecutionInput | list[ExecutionInput],
            returns=Receipt,
            status=202,
            also={201: Receipt},
            role="operator",
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/executions/{id}",
            handler=executions.get,
            summary="One execution with its items, log lines, attempts and children",
            params=One,
            returns=Dossier,
            errors=(404,),
            limited=True,
        ),
        Route(
            method="DELETE",
            path="/api/executions/{id}",
            handler=executions.delete,
            summary="Remove an execution; it stays removed",
            params=One,
            status=204,
            role="admin",
            errors=(404, 409),
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/executions/{id}/items",
            handler=executions.items,
            summary="A page of an execution's items",
            params=PartsOfOne,
            returns=ItemList,
            errors=(404,),
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/executions/{id}/logs",
            handler=executions.logs,
            summary="A page of an execution's log lines, oldest first",
            params=PartsOfOne,
            returns=LogList,
            errors=(404,),
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/executions/{id}/explanation",
            handler=executions.explanation,
            summary="Why an execution did not go well: since when, what changed, who else has this error; of one that "
            "succeeded: what in it is out of the usual",
            params=One,
            returns=Explanation,
            errors=(404,),
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/executions/{id}/comparison",
            handler=executions.comparison,
            summary="What is different between two executions, or one and the last before it that went well",
            params=TwoOf,
            returns=Comparison,
            errors=(404,),
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/stats",
            handler=executions.stats,
            summary="Counts, rates, durations, tokens and cost of executions that ended, whole and by group",
            params=StatsQuestion,
            returns=Statistics,
            tag="statistics",
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/failures",
            handler=executions.failures,
            summary="Failures grouped by what they have in common, the latest first",
            params=FailuresQuestion,
            returns=FailureList,
            tag="statistics",
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/latest",
            handler=executions.latest,
            summary="The latest execution of each subject",
            params=LatestQuestion,
            returns=ExecutionList,
            tag="statistics",
            limited=True,
        ),
        Route(
            method="GET",
            path="/api/feed",
            handler=feeds.open,
            summary="Live updates as server-sent events",
            description=" ".join(_FEED.split()),
            params=FeedQuestion,
            media_type=EVENT_STREAM,
            tag="live",
            limited=True,
        ),
    ]


def system_routes(health: Health, metrics: Metrics) -> list[Route]:
    """What watches over the server itself."""
    return [
        Route(
            method="GET",
            path="/healthz",
            handler=health.check,
            summary="Whether the store answers and the journal takes records",
            returns=HealthView,
            also={503: HealthView},
            role="public",
            tag="server",
        ),
        Route(
            method="GET",
            path="/metrics",
            handler=metrics.tell,
            summary="Metrics in Prometheus' text format",
            media_type="text/plain",
            tag="server",
        ),
    ]
