"""Asking a model: the retries around one question, and what each try used."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Mapping
from http.client import HTTPResponse
from typing import Any

from execlog.core.pricing import CallUsage
from execlog.kinds.workflows.models.anthropic import Anthropic
from execlog.kinds.workflows.models.asking import Answer, Dialect, ModelCallError, Question, Stream, Watch
from execlog.kinds.workflows.models.endpoint import Endpoint
from execlog.kinds.workflows.models.openai import OpenAI
from execlog.kinds.workflows.models.transport import BROKE_OFF, read_events, read_whole, send

DIALECTS: dict[str, Dialect] = {"openai": OpenAI(), "anthropic": Anthropic()}
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
Used = Callable[[CallUsage | None, str | None], None]
"""Hears what a try used (None: it did not say), and which model answered."""


def ask(
    endpoint: Endpoint,
    question: Question,
    watch: Watch,
    *,
    before: Callable[[], None],
    used: Used,
    jitter: Callable[[], float] = random.random,
) -> Answer:
    """The model's answer, after as many tries as it takes and the endpoint allows.

    `before` is called before each try and may raise to keep it from being made. `used` is told what each try used that
    its server took on, one too that broke off, took too long or was cancelled. Raises ModelCallError.
    """
    for number in itertools.count(1):
        watch.check()
        before()
        try:
            return _once(endpoint, question, watch, used)
        except ModelCallError as error:
            watch.check()  # a connection that was shut because nobody wants the answer looks like one that broke off
            wait = _wait(error, number, jitter)
            if not error.retry or number > endpoint.retries:
                raise
            if wait > endpoint.max_wait:
                # A step's own next try may come late enough.
                raise ModelCallError(f"{error} (asks to wait {wait:.0f} s)", status=error.status, retry=True) from error
            watch.log(f"{question.model}: {error}; again in {wait:.1f} s", "warning")
            watch.pause(wait)
    raise AssertionError  # pragma: no cover - the loop has no end


def _once(endpoint: Endpoint, question: Question, watch: Watch, used: Used) -> Answer:
    """The answer to one request, and `used` told: of one that never came whole too, as it may have to be paid for."""
    dialect = DIALECTS[endpoint.api]
    stream, sent = dialect.stream(), threading.Event()
    try:
        with send(endpoint, dialect, dialect.body(question, endpoint), watch, sent.set) as response:
            answer = _read(response, dialect, stream, watch)
    except BaseException as error:
        begun = stream.answer()
        # Some say only at the end what was used: that something was is known once the answer began.
        has_begun = begun.id is not None or begun.usage is not None or begun.text
        if has_begun or (sent.is_set() and not getattr(error, "declined", False)):
            used(begun.usage, begun.model)
        raise
    used(answer.usage, answer.model)
    return _checked(answer)


def _read(response: HTTPResponse, dialect: Dialect, stream: Stream, watch: Watch) -> Answer:
    """The answer in a response, whole or streamed: an endpoint may not know how to stream, and answer whole."""
    if "event-stream" not in (response.getheader("content-type") or ""):
        return dialect.answer(read_whole(response))
    whole = any(_last(stream, data, watch) for data in read_events(response))
    answer = stream.answer()
    _check_whole(answer, whole=whole)
    return answer


def _checked(answer: Answer) -> Answer:
    """The answer. Raises ModelCallError where it is none."""
    if answer.objection is not None:
        raise ModelCallError(answer.objection)
    return answer


def _last(stream: Stream, data: Mapping[str, Any] | None, watch: Watch) -> bool:
    """Whether the answer is whole with this event."""
    watch.check()
    return data is None or stream.take(data)


def _check_whole(answer: Answer, *, whole: bool) -> None:
    """Some compatible servers say why they stopped, but not that they did."""
    if not whole and answer.stop is None:
        raise ModelCallError(BROKE_OFF, retry=True)


def _wait(error: ModelCallError, number: int, jitter: Callable[[], float]) -> float:
    """Seconds before the next try: as asked, else twice as long each time, with up to a quarter taken off."""
    if error.retry_after is not None:
        return error.retry_after
    return min(FIRST_WAIT * 2 ** (number - 1), LONGEST_WAIT) * (1 - jitter() / 4)
