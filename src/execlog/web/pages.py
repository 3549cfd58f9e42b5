"""The pages: what ran lately, one execution, one subject's history, failures; all made on the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlencode

from msgspec import Meta, Struct, structs

from execlog.core.clock import iso, moment
from execlog.core.filter import Filter
from execlog.core.model import OPEN, Execution, Status
from execlog.history import dossier, listing, statistics
from execlog.history.explanation import explain
from execlog.history.question import Id, Name, Question, as_filter, encoded
from execlog.history.reason import explained, why
from execlog.history.view import ExecutionView, view, view_item
from execlog.kind import Call, Reply
from execlog.ledger import Ledger
from execlog.store.base import NamingKinds, Store
from execlog.web.chart import Bar, bars_by_hour, runs
from execlog.web.jobs import Offers
from execlog.web.news import newest
from execlog.web.problem import ProblemError
from execlog.web.templates import Templates
from execlog.web.wording import called, word

HOUR = 3_600_000_000
RECENT, SUBJECTS, FAILURES, STRIP = 15, 12, 6, 24
MOST_FAILURES = 200
ITEMS, BAD_ITEMS = 50, 200
"""Items of an execution that are shown unasked, and the most of those that did not succeed, beside them."""
_ENDED = tuple(status for status in Status if status not in OPEN)
_BAD = tuple(status for status in _ENDED if status is not Status.SUCCEEDED)
_FAILURES = (Status.FAILED, Status.TIMED_OUT, Status.CRASHED)
_IN_THE_FORM = frozenset({"kind", "status", "since", "text", "subject", "item", "id_prefix", "sort", "cursor"})
_SORTS = {"": "newest first", "oldest": "oldest first", "slowest": "slowest first", "costliest": "costliest first"}
_WINDOWS = {"1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days"}


class Browse(Question, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A page of executions, as the form asks for it."""


class OneExecution(Struct, frozen=True, kw_only=True):
    """Which execution."""

    id: Id
    kind: Name | None = None
    namespace: Name | None = None
    items: Literal["some", "all"] = "some"


class OneSubject(Struct, frozen=True, kw_only=True):
    """Which subject, and how far back."""

    kind: Name
    subject: Name
    namespace: Name = ""
    window: Literal["24h", "7d", "30d"] = "7d"


class WhichFailures(Struct, frozen=True, kw_only=True):
    """How far back, and what they say."""

    window: Literal["1h", "24h", "7d", "30d"] = "7d"
    text: Annotated[str, Meta(max_length=1000)] | None = None
    kind: Name | None = None


class Row(ExecutionView, frozen=True, kw_only=True):
    """An execution in a list, how many items it has in all (None while that is not known), and why it went wrong."""

    total: int | None
    why: str


class Subject(Struct, frozen=True):
    """What ran lately, what it is called, and how it went before."""

    latest: ExecutionView
    title: str
    strip: tuple[Bar, ...]


class Pages:
    """The handlers of the pages over one ledger."""

    def __init__(self, ledger: Ledger, templates: Templates, offers: Offers) -> None:
        self._ledger = ledger
        self._templates = templates
        self._offers = offers

    def overview(self, call: Call) -> Reply:
        """What ran lately, how it went, and what failed."""
        store, actor = self._ledger.store, call.principal.actor
        now = self._ledger.clock.now()
        day = Filter(since=now - now % HOUR - 23 * HOUR, actor=actor)
        figures = statistics.statistics(store, day, group_by="hour")
        recent = store.find(Filter(actor=actor), limit=RECENT)
        return self._page(
            call,
            "overview.html",
            figures=figures,
            bars=bars_by_hour(figures.groups, moment(day.since or 0), 24),
            subjects=[self._subject(one, actor) for one in store.latest(Filter(actor=actor), limit=SUBJECTS)],
            failures=listing.list_failures(
                store, structs.replace(day, since=now - 7 * 24 * HOUR), limit=FAILURES
            ).failures,
            executions=_rows(store, recent.entries),
        )

    def executions(self, call: Call) -> Reply:
        """A page of executions, narrowed by the form."""
        question: Browse = structs.replace(call.params, include=(), count=False)
        now, actor = self._ledger.clock.now(), call.principal.actor
        narrowed = as_filter(question, now=now, actor=actor)
        found = listing.find(self._ledger.store, question, now=now, actor=actor)
        asked = encoded(question)
        pairs = [pair for pair in _pairs(asked) if pair[0] != "cursor"]
        following = None
        if found.next_cursor:
            # A cursor belongs to one question: a span back from now would be another one by then.
            since, until = (iso(at) for at in (narrowed.since, narrowed.until))
            following = "?" + urlencode(_pairs({**asked, "since": since, "until": until, "cursor": found.next_cursor}))
        return self._page(
            call,
            "executions.html",
            executions=_rows(self._ledger.store, found.entries),
            asked=[(*pair, "?" + urlencode([other for other in pairs if other != pair])) for pair in _chosen(pairs)],
            query=urlencode(_pairs(asked)),
            kept=[(name, value) for name, value in pairs if name not in _IN_THE_FORM],
            question=question,
            kinds=self._kinds(actor),
            following=following,
            first="?" + urlencode(pairs) if question.cursor else None,
            statuses=_statuses(narrowed.statuses),
            windows=_WINDOWS,
            sorts=_SORTS,
        )

    def execution(self, call: Call) -> Reply:
        """One execution: its error, items, log, attempts, and what went in and came out."""
        params: OneExecution = call.params
        store, actor = self._ledger.store, call.principal.actor
        found = dossier.get(store, params.id, kind=params.kind, namespace=params.namespace, actor=actor)
        whole = dossier.dossier(store, found, actor=actor)
        items = sorted(found.items, key=lambda item: (_turn(item.status), item.position))
        bad = sum(_bad(item.status) for item in items)
        most = dossier.MOST_ITEMS if params.items == "all" else min(bad, BAD_ITEMS) + ITEMS
        why = explain(store, found, now=self._ledger.clock.now(), actor=actor) if found.status not in OPEN else None
        feed = {"id": found.id, "kind": found.kind}
        return self._page(
            call,
            "execution.html",
            execution=whole,
            total=_total(found),
            ended=found.status not in OPEN,
            items=[view_item(item) for item in items[:most]],
            known_items=len(items),
            most_items=dossier.MOST_ITEMS,
            known_lines=len(found.logs),
            why=why,
            others=_has_others(store, found, actor),
            offer=self._offers(call, found),
            feed=feed,
        )

    def subject(self, call: Call) -> Reply:
        """One subject's history: how often, how well, how long."""
        params: OneSubject = call.params
        store, actor = self._ledger.store, call.principal.actor
        now = self._ledger.clock.now()
        everything = Filter(kind=params.kind, namespace=params.namespace, subject=params.subject, actor=actor)
        asked = as_filter(Question(since=params.window), now=now)
        lately = structs.replace(everything, since=asked.since)
        page = store.find(lately, limit=50)
        known = page.entries or store.find(everything, limit=1).entries
        if not known:
            raise ProblemError(404, f"{params.kind} {params.subject!r} has not run, as far as is known here")
        return self._page(
            call,
            "subject.html",
            params=params,
            title=_title(known, params.subject),
            figures=statistics.statistics(store, lately),
            bars=runs(tuple(reversed(page.entries))),
            executions=_rows(store, page.entries),
            failures=listing.list_failures(store, lately, limit=FAILURES).failures,
            feed={"kind": params.kind, "subject": params.subject, "namespace": params.namespace},
        )

    def failures(self, call: Call) -> Reply:
        """Failures by what they have in common."""
        params: WhichFailures = call.params
        since = as_filter(Question(since=params.window), now=self._ledger.clock.now()).since
        asked = Filter(since=since, text=params.text, kind=params.kind, actor=call.principal.actor)
        found = listing.list_failures(self._ledger.store, asked, limit=MOST_FAILURES).failures
        return self._page(
            call,
            "failures.html",
            failures=found,
            most=MOST_FAILURES,
            params=params,
            asked={"since": params.window, "text": params.text, "kind": params.kind},
            kinds=self._kinds(call.principal.actor),
            windows=_WINDOWS,
        )

    def _kinds(self, actor: str | None) -> list[str]:
        store = self._ledger.store
        if actor is None and isinstance(store, NamingKinds):
            return store.kinds()
        return [str(group.key) for group in store.stats(Filter(actor=actor), group_by="kind")]

    def _subject(self, latest: Execution, actor: str | None) -> Subject:
        asked = Filter(kind=latest.kind, namespace=latest.namespace, subject=latest.subject, actor=actor)
        before = self._ledger.store.find(asked, limit=STRIP).entries if latest.subject else (latest,)
        title = _title(before, latest.subject or called(view(latest)))
        return Subject(view(latest), title, runs(tuple(reversed(before)), STRIP))

    def _page(self, call: Call, template: str, **values: Any) -> Reply:
        change = newest(self._ledger.store) if self._ledger.store.capabilities.changes else None
        now = moment(self._ledger.clock.now())
        return self._templates.reply(template, call, change=change, now=now, base=call.base, **values)


def _rows(store: Store, executions: Sequence[Execution]) -> list[Row]:
    whole = explained(store, executions)
    return [Row(**structs.asdict(view(one)), total=_total(one), why=why(one)) for one in whole]


def _total(execution: Execution) -> int | None:
    """How many items it has in all; None while it runs and has not said how many there will be."""
    seen, said = execution.counts.total, execution.total
    if execution.status in OPEN:
        return None if said is None else max(seen, said)
    # One that succeeded, or that tells sums instead of items, need not have told of every item.
    whole = execution.status is Status.SUCCEEDED or execution.declared_succeeded is not None
    return seen if whole else max(seen, said or 0)


def _title(executions: Sequence[Execution], subject: str) -> str:
    """What people call a subject: the name of its executions where they agree on one."""
    names = {execution.name for execution in executions}
    return called(view(executions[0])) if len(names) == 1 else subject


def _statuses(asked: Sequence[Status]) -> list[tuple[str, str, bool]]:
    """What the form offers: the value, how it is said, and whether it is asked for."""
    offered: list[tuple[tuple[Status, ...], str]] = [((status,), word(status)) for status in Status]
    offered += [((Status.QUEUED, Status.RUNNING), "not finished"), (_ENDED, "ended"), (_FAILURES, "any failure")]
    offered.append((_BAD, "any but succeeded"))
    if asked and set(asked) not in [set(statuses) for statuses, _ in offered]:
        offered.append((tuple(asked), " or ".join(map(word, asked))))
    return [(",".join(statuses), said, set(statuses) == set(asked)) for statuses, said in offered]


def _bad(status: Status) -> bool:
    return status not in OPEN and status is not Status.SUCCEEDED


def _has_others(store: Store, execution: Execution, actor: str | None) -> bool:
    """Whether another execution failed as this one did."""
    if execution.error is None or not execution.error.fingerprint:
        return False
    alike = store.find(Filter(fingerprint=execution.error.fingerprint, actor=actor), limit=2).entries
    return any(one.key != execution.key for one in alike)


def _turn(status: Status) -> int:
    """What is looked at first: what went wrong, then what is under way."""
    return 0 if _bad(status) else 1 if status is Status.RUNNING else 2


def _chosen(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What was asked for of the executions, without how they are put on pages."""
    return [pair for pair in pairs if pair[0] not in {"limit", "sort"}]


def _pairs(asked: dict[str, Any]) -> list[tuple[str, str]]:
    """The pairs of a query string that asks this."""
    pairs: list[tuple[str, str]] = []
    for name, value in asked.items():
        if isinstance(value, list | tuple):
            pairs += [(name, str(entry)) for entry in cast("list[Any]", value)]
        elif isinstance(value, dict):
            pairs += [(name, f"{key}:{entry}") for key, entry in cast("dict[str, Any]", value).items()]
        elif value is not None:
            pairs.append((name, str(value)))
    return pairs
