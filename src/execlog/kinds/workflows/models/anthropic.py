"""The Anthropic format: POST {base}/v1/messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from execlog.core.pricing import CallUsage
from execlog.kinds.workflows.models.asking import Answer, ModelCallError, Question
from execlog.kinds.workflows.models.endpoint import Endpoint
from execlog.kinds.workflows.models.openai import CALLS_TOOLS, complaint_of, refused, text_of
from execlog.kinds.workflows.models.usage import from_anthropic

Json = Mapping[str, Any]
VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 1024
"""The format wants a limit; this one where the step says none."""

_AGAIN = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})


class Anthropic:
    """The messages of Anthropic and of everybody who is compatible with them."""

    path = "/v1/messages"

    def headers(self, key: str | None) -> dict[str, str]:
        """The headers that say who asks."""
        return {"anthropic-version": VERSION} | ({"x-api-key": key} if key else {})

    def body(self, question: Question, endpoint: Endpoint) -> dict[str, Any]:
        """The request."""
        del endpoint
        body: dict[str, Any] = {
            "model": question.model,
            "max_tokens": question.max_tokens or DEFAULT_MAX_TOKENS,
            "messages": list(question.messages),
        }
        if question.system:
            body["system"] = question.system
        if question.temperature is not None:
            body["temperature"] = question.temperature
        if question.stream:
            body["stream"] = True
        return body | question.options

    def answer(self, body: Json) -> Answer:
        """The answer in a whole response."""
        if not isinstance(body.get("content"), list):
            raise ModelCallError("the answer has no content: is this an Anthropic-compatible endpoint?")
        text, stop = text_of(body.get("content")), _text(body.get("stop_reason"))
        return Answer(
            text=text,
            model=_text(body.get("model")),
            stop=stop,
            usage=from_anthropic(body.get("usage")),
            id=_text(body.get("id")),
            objection=_objection(text, stop),
        )

    def stream(self) -> AnthropicStream:
        """What takes a streamed response in."""
        return AnthropicStream()

    def complaint(self, body: Any) -> tuple[str, str | None]:
        """An error response's message, and its type."""
        return complaint_of(body)


class AnthropicStream:
    """Typed events; the input's usage comes with the first, the output's so far with each `message_delta`."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}
        self._texts: list[str] = []
        self._head: Json = {}
        self._stop: str | None = None

    @property
    def usage(self) -> CallUsage | None:
        """What is known to be used so far."""
        return from_anthropic(self._said) if self._said else None

    def take(self, data: Json) -> bool:
        """Whether the answer is whole with this event."""
        match data.get("type"):
            case "message_start":
                self._head = _part(data, "message")
                self._said.update(_part(self._head, "usage"))
            case "content_block_start":
                self._texts.append(text_of([_part(data, "content_block")]))
            case "content_block_delta":
                delta = _part(data, "delta")
                self._texts.append(str(delta.get("text", "")) if delta.get("type") == "text_delta" else "")
            case "message_delta":
                self._stop = _text(_part(data, "delta").get("stop_reason")) or self._stop
                # Cumulative: each replaces what was said before.
                self._said.update({name: value for name, value in _part(data, "usage").items() if value is not None})
            case "error":
                message, code = complaint_of(data)
                raise ModelCallError(message, retry=code in _AGAIN, declined=True)
            case _:
                pass
        return data.get("type") == "message_stop"

    def answer(self) -> Answer:
        """The answer, as far as it came."""
        text = "".join(self._texts)
        return Answer(
            text=text,
            model=_text(self._head.get("model")),
            stop=self._stop,
            usage=self.usage,
            id=_text(self._head.get("id")),
            objection=_objection(text, self._stop),
        )


def _objection(text: str, stop: str | None) -> str | None:
    if stop == "refusal":
        return refused(text)
    return CALLS_TOOLS if stop == "tool_use" and not text else None


def _part(data: Json, name: str) -> Json:
    part: Any = data.get(name)
    return cast("Json", part) if isinstance(part, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
