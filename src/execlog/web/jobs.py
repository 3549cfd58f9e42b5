"""The page of jobs: what runs by itself, when it runs next, and how it went last; and what can be run again of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct, structs

from execlog.core.clock import moment, parse_when
from execlog.core.errors import ConflictError, InvalidError, NotFoundError
from execlog.core.filter import Filter
from execlog.core.model import BEGUN, OPEN, Execution
from execlog.history.listing import newest_with
from execlog.history.view import ExecutionView, view
from execlog.kind import Call, Principal, Reply, Route
from execlog.kinds.jobs.desk import JobView, stocks_left
from execlog.kinds.jobs.record import KIND
from execlog.kinds.jobs.routes import JobParams, JobsParams
from execlog.kinds.jobs.wording import is_late, trigger_text
from execlog.ledger import Ledger
from execlog.store.base import Store
from execlog.web.access import may
from execlog.web.news import newest
from execlog.web.templates import HTML, Templates
from execlog.web.wording import duration

MOST = 200
_LIST = ("GET", "/scheduler/jobs")
_ONE = ("GET", "/scheduler/jobs/{job_id}")
_RUN = ("POST", "/scheduler/jobs/{job_id}/run")
_CANCEL = ("POST", "/scheduler/jobs/{job_id}/cancel")


class JobRow(Struct, frozen=True, kw_only=True):
    """A job in the list; `schedule` is when it runs, in words, and `last` its newest execution that began.

    `others` says how many besides that one run, or wait to; `late` that nobody has begun what is due; `skipped` how
    many instants were dropped.
    """

    id: str
    name: str
    schedule: str
    paused: bool
    running: bool
    others: int
    late: bool
    skipped: int
    next_at: datetime | None
    last: ExecutionView | None


class Offer(Struct, frozen=True):
    """What may be done about an execution of this job: cancel it, or run it again, or some of its items alone."""

    job_id: str
    cancel: bool
    again: bool
    some: bool


Offers = Callable[[Call, Execution], Offer | None]


def offers(routes: Iterable[Route]) -> Offers:
    """What tells, of an execution that somebody looks at, what they may do about it by the API's own routes."""
    table = {(route.method, route.path): route for route in routes}
    one, run, cancel = table.get(_ONE), table.get(_RUN), table.get(_CANCEL)

    def offer(call: Call, execution: Execution) -> Offer | None:
        is_open = execution.status in OPEN
        asked = cancel if is_open else run
        if one is None or asked is None or not (_reaches(call.principal, one) and _reaches(call.principal, asked)):
            return None
        if (execution.kind, execution.namespace) != (KIND, "") or not execution.subject:
            return None
        try:
            answer: Reply = one.handler(structs.replace(call, params=JobParams(execution.subject)))
        except (NotFoundError, InvalidError):  # a job that is gone, was never one of ours, or cannot be read
            return None
        job: JobView = answer.body
        # What cancels, cancels all that a job has under way.
        alone = is_open and job.running == (execution.id,)
        return Offer(execution.subject, alone, not is_open, not is_open and _some_left(job, execution))

    return offer


def job_routes(routes: Iterable[Route], ledger: Ledger, templates: Templates) -> list[Route]:
    """The page over the API's own list of jobs; none where no family brings that list."""
    listing = next((route for route in routes if (route.method, route.path) == _LIST), None)
    if listing is None:
        return []

    def page(call: Call) -> Reply:
        now = ledger.clock.now()
        answer: Reply = listing.handler(structs.replace(call, params=JobsParams(limit=MOST)))
        found: tuple[JobView, ...] = answer.body
        latest = _latest(ledger.store, (job.id for job in found))
        values: dict[str, Any] = {
            "jobs": [_row(job, view(latest[job.id]) if job.id in latest else None, now) for job in found],
            "more": "X-Next-Cursor" in answer.headers,
            "manages": may(call.principal, "operator"),
            "now": moment(now),
            "change": newest(ledger.store) if ledger.store.capabilities.changes else None,
            "feed": {"kind": KIND},
        }
        return templates.reply("jobs.html", call, base=call.base, **values)

    return [
        Route(
            method="GET",
            path="/jobs",
            handler=page,
            summary="The jobs, when they run and how they went",
            media_type=HTML,
            role=listing.role,
            documented=False,
        )
    ]


def _reaches(principal: Principal, route: Route) -> bool:
    return may(principal, route.role) and (principal.actor is None or route.limited)


def _some_left(job: JobView, execution: Execution) -> bool:
    """Whether some of the job's stocks are to be run again, and some are not."""
    try:
        return len(stocks_left(job, execution) or ()) not in {0, len(job.stocks)}
    except ConflictError:
        return False


def _latest(store: Store, ids: Iterable[str]) -> dict[str, Execution]:
    """The newest execution of each of these jobs that began, else the newest that waits.

    Each is asked for: what else is called a job is not.
    """
    pages = {job_id: store.find(Filter(kind=KIND, namespace="", subject=job_id), limit=1) for job_id in ids}
    return {job_id: newest_with(store, BEGUN, page.entries[0]) for job_id, page in pages.items() if page.entries}


def _row(job: JobView, last: ExecutionView | None, now: int) -> JobRow:
    return JobRow(
        id=job.id,
        name=job.name,
        schedule=trigger_text(job.trigger, duration),
        paused=not job.enabled,
        running=bool(job.running),
        others=len(set(job.running) - {last.id if last else ""}),
        late=is_late(job, now),
        skipped=job.skipped,
        next_at=moment(parse_when(job.next_run_at, now=None)) if job.next_run_at else None,
        last=last,
    )
