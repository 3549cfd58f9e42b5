"""What is said when executions change: the messages of alerts, and what has been said already.

Nothing here sends, reads a clock or keeps a file: a `State` goes in, and messages come out.
"""

from __future__ import annotations

import re
from typing import Literal, TypeVar
from urllib.parse import quote, urlencode

from msgspec import Raw, Struct, field
from msgspec.structs import replace

from execlog.core.model import TERMINAL, Error, Execution, Status
from execlog.history.alerts import Rule, Way
from execlog.history.reason import why
from execlog.history.view import ExecutionView, view
from execlog.store.matching import matches
from execlog.store.preparing import failure_of

T = TypeVar("T")
Word = Literal["trouble", "recovered", "silent"]
SECOND, DAY = 1_000_000, 86_400_000_000
MOST_SUBJECTS, MOST_ERRORS, MOST_TOLD, MOST_PENDING = 1_000, 20, 1_000, 100
_MARKUP = re.compile(r"(?i)<(?=[!@#]|[a-z]+:)|(?<!\w)@(?=(?:channel|all|here|everyone)\b)|\](?=\()")
_LONGEST_TEXT, _LONGEST_ERROR, _LONGEST_NAME = 600, 8_000, 500


class Message(Struct, frozen=True, kw_only=True):
    """What a webhook or a command is given; `text` is one line for people."""

    text: str
    alert: str
    event: Word
    execution: ExecutionView | None = None
    reason: str = ""
    held_back: int = 0
    url: str | None = None


class Trouble(Struct, kw_only=True, omit_defaults=True):
    """An error of a subject, and what was said about it.

    id, ended_at   the execution that had it last
    is_open        it was told, and what had it has not succeeded since
    held           how many times it came again without being told
    """

    id: str
    ended_at: int
    told_at: int
    is_open: bool = True
    held: int = 0


class Standing(Struct, kw_only=True, omit_defaults=True):
    """How an alert stands: when one of its executions ended last, what was sent last, what keeps the rest.

    dropped    messages that were given up, or pushed out by newer ones while they waited
    errors     by way, why the last try did not succeed
    """

    heard_at: int
    is_silent: bool = False
    sent_at: int | None = None
    dropped: int = 0
    errors: dict[str, str] = field(default_factory=dict[str, str])


class Pending(Struct, frozen=True):
    """A message on its way."""

    alert: str
    way: Way
    body: Raw


class State(Struct, kw_only=True):
    """What is kept between one run of the server and the next.

    store      whose change numbers these are
    change     up to where the store was looked at, and `at` when that was (UTC µs)
    troubles   by alert, kind, namespace and subject, then by the error's fingerprint; the latest told last
    told       the executions that were judged last, each with its status, so that a later change of them is no news
    """

    store: str
    change: int
    at: int
    troubles: dict[str, dict[str, Trouble]] = field(default_factory=dict[str, dict[str, Trouble]])
    told: dict[str, int] = field(default_factory=dict[str, int])
    standings: dict[str, Standing] = field(default_factory=dict[str, Standing])
    pending: list[Pending] = field(default_factory=list[Pending])


def is_trouble(rule: Rule, one: Execution) -> bool:
    """Whether this is what the alert is for."""
    return one.status in rule.statuses and matches(rule.filter, one)


def judge(rule: Rule, state: State, one: Execution, now: int, *, pages: str | None) -> Message | None:
    """What is to be said of an execution that changed, with its items where they say why; None for nothing.

    What ended more than a day before the store was last looked at is history that was brought in, and no news.
    """
    ended = min(one.created_at if one.ended_at is None else one.ended_at, now)
    if ended < state.at - DAY or not matches(rule.filter, one):
        return None
    was_silent = one.status in TERMINAL and _heard(state.standings[rule.name], ended)
    if one.status in rule.statuses:
        return _trouble(rule, state, one, ended, now, pages=pages)
    if one.status is Status.SUCCEEDED:
        return _recovered(rule, state, one, ended, pages=pages, was_silent=was_silent)
    return None


def judge_silence(rule: Rule, state: State, now: int) -> Message | None:
    """What is to be said where nothing has ended for too long; None for nothing."""
    standing = state.standings[rule.name]
    if rule.silent is None or standing.is_silent or now - standing.heard_at < rule.silent * SECOND:
        return None
    standing.is_silent = True
    hours, minutes = divmod(round((now - standing.heard_at) / SECOND) // 60, 60)
    span = " ".join(f"{number} {unit}" for number, unit in ((hours, "h"), (minutes, "min")) if number) or "a minute"
    reason = f"nothing has ended for {span}"
    text = _line(f"{rule.what or rule.name}: {reason}", 0, None)
    return Message(text=text, alert=rule.name, event="silent", reason=reason)


def sample(rule: Rule, now: int, pages: str | None) -> Message:
    """A message to try the rule's ways with."""
    asked = rule.filter
    one = Execution(
        id="00000000-test", kind=asked.kind or "job", at=now, created_at=now, namespace=asked.namespace or "",
        status=Status.FAILED, name=asked.subject or "test", subject=asked.subject or "test", actor=asked.actor,
        engine=asked.engine, started_at=now, ended_at=now, tags=asked.tags,
        error=Error("Error", "this is a test of the alert, nothing went wrong"),
    )  # fmt: skip
    return _message(rule, "trouble", one, 0, pages)


def _heard(standing: Standing, ended: int) -> bool:
    """Whether this ends a silence that was told."""
    if ended <= standing.heard_at:
        return False
    was_silent, standing.heard_at, standing.is_silent = standing.is_silent, ended, False
    return was_silent


def _trouble(rule: Rule, state: State, one: Execution, ended: int, now: int, *, pages: str | None) -> Message | None:
    mark = "\n".join((rule.name, *one.key, one.status))
    if mark in state.told:
        return None
    _keep(state.told, mark, now, MOST_TOLD)
    error, place = failure_of(one), _place(rule, one)
    fingerprint = (error.fingerprint if error is not None else None) or ""
    troubles = state.troubles.get(place, {})
    known = troubles.get(fingerprint)
    if known is not None and 0 <= now - known.told_at < rule.every * SECOND:
        known.held += 1
        known.id, known.ended_at = one.id, max(known.ended_at, ended)
        return None
    _keep(troubles, fingerprint, Trouble(id=one.id, ended_at=ended, told_at=now), MOST_ERRORS)
    _keep(state.troubles, place, troubles, MOST_SUBJECTS)
    return _message(rule, "trouble", one, known.held if known else 0, pages)


def _recovered(
    rule: Rule, state: State, one: Execution, ended: int, *, pages: str | None, was_silent: bool
) -> Message | None:
    """That what was in trouble succeeded; a success from before the trouble is none."""
    over = [
        trouble
        for trouble in state.troubles.get(_place(rule, one), {}).values()
        if trouble.is_open and (trouble.id == one.id or trouble.ended_at <= ended)
    ]
    held = sum(trouble.held for trouble in over)
    for trouble in over:
        trouble.is_open, trouble.held = False, 0
    if not rule.recovery or not (over or was_silent):
        return None
    return _message(rule, "recovered", one, held, pages)


def _place(rule: Rule, one: Execution) -> str:
    return "\n".join((rule.name, one.kind, one.namespace, called(one)))


def _keep(kept: dict[str, T], key: str, value: T, most: int) -> None:
    """Put it last; the first ones make room."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]


def called(one: Execution) -> str:
    """What ran: its subject, or else its name."""
    return (one.subject or one.name or "")[:_LONGEST_NAME]


def _message(rule: Rule, event: Word, one: Execution, held: int, pages: str | None) -> Message:
    pages = rule.pages or pages
    said = {"kind": one.kind, "namespace": one.namespace}
    query = urlencode({name: value for name, value in said.items() if value})
    url = None if pages is None else f"{pages}/executions/{quote(one.id, safe='')}?{query}"
    what = f"{one.kind} {one.namespace + '/' if one.namespace else ''}{called(one) or one.id}"
    reason = "" if event == "recovered" else _cut(why(one), _LONGEST_TEXT)
    went = "succeeded again" if event == "recovered" else one.status.value.replace("_", " ")
    text = _line(f"{what} {went}{': ' if reason else ''}{reason}", held, url)
    if one.error is not None:
        one = replace(one, error=replace(one.error, message=_cut(one.error.message, _LONGEST_ERROR)))
    return Message(text=text, alert=rule.name, event=event, execution=view(one), reason=reason, held_back=held, url=url)


def _line(text: str, held: int, url: str | None) -> str:
    """One line; recorded text must not call everybody into a channel, nor lead elsewhere than it says.

    As `<!channel>` does and `<https://…|…>` for Slack, `@all` and `[…](https://…)` for Mattermost and others.
    """
    text = _MARKUP.sub(r"\g<0> ", " ".join(text.split()))
    return _cut(text, _LONGEST_TEXT) + (f" ({held} more held back)" if held else "") + (f" {url}" if url else "")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
