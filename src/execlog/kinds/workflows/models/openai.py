"""The OpenAI format: POST {base}/chat/completions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from execlog.core.pricing import CallUsage
from execlog.kinds.workflows.models.asking import NEVER, Answer, ModelCallError, Question, may_pass
from execlog.kinds.workflows.models.endpoint import Endpoint
from execlog.kinds.workflows.models.usage import from_openai

Json = Mapping[str, Any]
WITHHELD = "a content filter withheld the answer"
CALLS_TOOLS = "the model calls tools instead of answering; an llm step runs none"
_NO_CHOICE = "the answer has no choices"
_WRONG = NEVER | {"invalid_request_error"}
_TOOLS = frozenset({"tool_calls", "function_call"})


class OpenAI:
    """The chat completions of OpenAI and of everybody who is compatible with them."""

    path = "/chat/completions"

    def headers(self, key: str | None) -> dict[str, str]:
        """The headers that say who asks."""
        return {"Authorization": f"Bearer {key}"} if key else {}

    def body(self, question: Question, endpoint: Endpoint) -> dict[str, Any]:
        """The request; a streamed answer is asked to report its usage too."""
        system = [{"role": "system", "content": question.system}] if question.system else []
        body: dict[str, Any] = {"model": question.model, "messages": [*system, *question.messages]}
        if question.max_tokens is not None:
            # OpenAI's models that reason refuse the old name, and many compatible servers do not know the new one.
            body["max_completion_tokens" if endpoint.is_openai else "max_tokens"] = question.max_tokens
        if question.temperature is not None:
            body["temperature"] = question.temperature
        if question.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body | question.options

    def answer(self, body: Json) -> Answer:
        """The answer in a whole response."""
        _check_error(body)
        choice, usage = _first(body), from_openai(body.get("usage"), body.get("service_tier"))
        if choice is None and usage is None:
            raise ModelCallError("the answer has no choices: is this an OpenAI-compatible endpoint?")
        message = cast("Json", (choice or {}).get("message") or {})
        text, stop = text_of(message.get("content")), _text((choice or {}).get("finish_reason"))
        return Answer(
            text=text,
            model=_text(body.get("model")),
            stop=stop,
            usage=usage,
            id=_text(body.get("id")),
            objection=_NO_CHOICE if choice is None else _objection(text, message.get("refusal"), stop),
        )

    def stream(self) -> OpenAIStream:
        """What takes a streamed response in."""
        return OpenAIStream()

    def complaint(self, body: Any) -> tuple[str, str | None]:
        """An error response's message, and its code."""
        return complaint_of(body)


class OpenAIStream:
    """Chunks with deltas; the usage comes last, in a chunk without choices."""

    def __init__(self) -> None:
        self.usage: CallUsage | None = None
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._began = False
        self._model: str | None = None
        self._stop: str | None = None
        self._id: str | None = None

    def take(self, data: Json) -> bool:
        """False: the end is said by `[DONE]`."""
        _check_error(data)
        self._model = _text(data.get("model")) or self._model
        self._id = _text(data.get("id")) or self._id
        self.usage = from_openai(data.get("usage"), data.get("service_tier")) or self.usage
        choice = _first(data)
        if choice is not None:
            self._began = True
            delta = cast("Json", choice.get("delta") or {})
            self._texts.append(text_of(delta.get("content")))
            self._refusals.append(text_of(delta.get("refusal")))
            self._stop = _text(choice.get("finish_reason")) or self._stop
        return False

    def answer(self) -> Answer:
        """The answer, as far as it came."""
        text = "".join(self._texts)
        objection = _objection(text, "".join(self._refusals), self._stop) if self._began else _NO_CHOICE
        return Answer(text=text, model=self._model, stop=self._stop, usage=self.usage, id=self._id, objection=objection)


def _first(data: Json) -> Json | None:
    """The first of the answers that were asked for; the pieces of several come mixed."""
    choices: Any = data.get("choices")
    for choice in cast("list[Any]", choices) if isinstance(choices, list) else ():
        if isinstance(choice, Mapping) and not cast("Json", choice).get("index"):
            return cast("Json", choice)
    return None


def _objection(text: str, refusal: Any, stop: str | None) -> str | None:
    if text:
        return None
    if refusal:
        return refused(refusal)
    return WITHHELD if stop == "content_filter" else CALLS_TOOLS if stop in _TOOLS else None


def refused(why: Any) -> str:
    """What is said of an answer that the model did not want to give."""
    return f"the model refused: {why!s:.500}" if why else "the model refused"


def _check_error(data: Json) -> None:
    """Nothing; ModelCallError for an error that came with status 200. Many servers say `"error": null` for none."""
    error = data.get("error")
    if not error:
        return
    said: Json = cast("Json", error) if isinstance(error, Mapping) else {}
    code: Any = said.get("code")
    # Some say the HTTP status that it would have been.
    retry = may_pass(code) if isinstance(code, int) else not {str(code), str(said.get("type"))} & _WRONG
    raise ModelCallError(complaint_of(data)[0], retry=retry, declined=True)


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or the texts among its parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [cast("Json", part) for part in cast("list[Any]", content) if isinstance(part, Mapping)]
    return "".join(str(part.get("text", "")) for part in parts if part.get("type", "text") == "text")


def complaint_of(body: Any) -> tuple[str, str | None]:
    """The message of {"error": {"message", "type", "code"}}, which both formats have, and its code or type.

    Some compatible servers put it one level up, or into a list, or call the message `detail`.
    """
    listed = cast("list[Any]", body) if isinstance(body, list) else [body]
    whole: Any = listed[0] if listed else None
    error: Any = cast("Json", whole).get("error", cast("Json", whole)) if isinstance(whole, Mapping) else whole
    said: Json = cast("Json", error) if isinstance(error, Mapping) else {}
    why: Any = next((said[name] for name in ("message", "detail", "type") if said.get(name)), cast("Any", error))
    written = (why if isinstance(why, str) else json.dumps(why, ensure_ascii=False)) if why else "no reason given"
    return written, _text(said.get("code") or said.get("type"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
