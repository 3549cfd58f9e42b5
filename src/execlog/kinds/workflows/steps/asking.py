"""Steps that ask models."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from execlog.core.errors import ExeclogError, InvalidError
from execlog.core.pricing import CallUsage
from execlog.kinds.workflows.definition import LLMStep
from execlog.kinds.workflows.models.asking import Answer, Question
from execlog.kinds.workflows.models.calling import ask
from execlog.kinds.workflows.models.endpoint import Endpoint
from execlog.kinds.workflows.steps.context import StepContext
from execlog.kinds.workflows.template import as_text

_CUT_OFF = {
    "length": "reached its limit of tokens",
    "max_tokens": "reached its limit of tokens",
    "model_context_window_exceeded": "reached the end of its context",
    "content_filter": "was stopped by a content filter",
}
_FENCED = re.compile(r"```(?:json)?\s*(.*)```", re.DOTALL | re.IGNORECASE)


class AnswerError(ExeclogError):
    """A model answered something else than was asked for."""

    retry = True


def find_endpoint(name: str, endpoints: Mapping[str, Endpoint]) -> Endpoint:
    """The endpoint of this name. Raises InvalidError."""
    if name not in endpoints:
        known = ", ".join(sorted(endpoints)) or "none"
        where = f"endpoints=…, or [workflows.endpoints.{name}] in execlog.toml"
        raise InvalidError(f"no endpoint {name!r}: the engine has {known} ({where})")
    return endpoints[name]


def perform(
    step: LLMStep, values: dict[str, Any], context: StepContext, endpoint: Endpoint, jitter: Callable[[], float]
) -> Any:
    """The model's answer: its text, or the JSON in it. Raises ModelCallError, AnswerError, BudgetExceededError."""
    question = _question(step, values)

    def used(usage: CallUsage | None, answered_by: str | None) -> None:
        if usage is None:
            context.log(f"{step.model} did not say how many tokens it used", "warning")
        context.spent(step.model, usage, answered_by=answered_by, provider=endpoint.provider, base_url=endpoint.url)

    def before() -> None:
        context.check_budget(step.model, provider=endpoint.provider, base_url=endpoint.url)

    answer = ask(endpoint, question, context, before=before, used=used, jitter=jitter)
    _note(answer, step, context)
    return _json_of(answer.text) if step.output == "json" else answer.text


def _question(step: LLMStep, values: dict[str, Any]) -> Question:
    messages = [{"role": said["role"], "content": as_text(said["content"])} for said in values.get("messages", [])]
    if values.get("prompt") is not None:
        messages.append({"role": "user", "content": as_text(values["prompt"])})
    return Question(
        model=step.model,
        messages=tuple(messages),
        system=as_text(values["system"]) if values.get("system") else None,
        max_tokens=step.max_tokens,
        temperature=step.temperature,
        stream=step.stream,
        options=values.get("options", {}),
    )


def _note(answer: Answer, step: LLMStep, context: StepContext) -> None:
    facts = {"answeredBy": answer.model, "stop": answer.stop, "responseId": answer.id}
    context.facts.update((name, value) for name, value in facts.items() if value is not None)
    if answer.stop in _CUT_OFF:
        # Not "tokens: …": what follows such a word and a colon is taken for a secret.
        context.log(f"the answer is cut off: {step.model} {_CUT_OFF[answer.stop]}", "warning")


def _json_of(text: str) -> Any:
    """The JSON in an answer, which models like to put into a fence, with words around it."""
    fenced = _FENCED.search(text)
    try:
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return json.loads(fenced[1] if fenced is not None else text)
    except ValueError as error:
        raise AnswerError(f"the answer is not JSON: {error}: {text[:200]!r}") from error
