"""The two wire formats from a server's side, for the stand-in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]
_PIECE = re.compile(r"\S+\s*|\s+")


class Usage(NamedTuple):
    """What an answer says it used: `cached` is part of `input`, `reasoning` of `output`."""

    input: int
    output: int
    cached: int
    reasoning: int


def tokens(text: str) -> int:
    """The stand-in's count: one token for every four bytes begun."""
    return -(-len(text.encode()) // 4)


def whole(api: str, body: Json, text: str, usage: Usage) -> Json:
    """An answer in one piece."""
    model = str(body.get("model", ""))
    if api == "anthropic":
        return {
            "id": "msg_stand_in", "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn",
            "content": [{"type": "text", "text": text}], "usage": _anthropic(usage, usage.output),
        }  # fmt: skip
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-stand-in", "object": "chat.completion", "model": model, "usage": _openai(usage),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }  # fmt: skip


def stream(api: str, body: Json, text: str, usage: Usage) -> Iterator[bytes]:
    """An answer word by word, as server-sent events."""
    return _anthropic_events(body, text, usage) if api == "anthropic" else _openai_events(body, text, usage)


def error(api: str, message: str, code: str | None, status: int) -> Json:
    """An error's body."""
    if api == "anthropic":
        kind = {429: "rate_limit_error", 529: "overloaded_error", 400: "invalid_request_error"}.get(status, "api_error")
        return {"type": "error", "error": {"type": code or kind, "message": message}}
    return {"error": {"message": message, "type": "stand_in_error", "code": code}}


def _openai_events(body: Json, text: str, usage: Usage) -> Iterator[bytes]:
    model = str(body.get("model", ""))

    def chunk(choices: list[Json], **more: Any) -> bytes:
        head = {"id": "chatcmpl-stand-in", "object": "chat.completion.chunk", "model": model}
        return b"data: " + _json(head | {"choices": choices} | more) + b"\n\n"

    yield chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    for piece in _PIECE.findall(text):
        yield chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
    yield chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    options: Json = body.get("stream_options") or {}
    if options.get("include_usage"):
        yield chunk([], usage=_openai(usage))
    yield b"data: [DONE]\n\n"


def _anthropic_events(body: Json, text: str, usage: Usage) -> Iterator[bytes]:
    def event(kind: str, **more: Any) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), _json({"type": kind} | more))

    empty: Json = {"content": [], "stop_reason": None, "usage": _anthropic(usage, 1)}
    yield event("message_start", message=whole("anthropic", body, "", usage) | empty)
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield event("ping")
    for piece in _PIECE.findall(text):
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield event("content_block_stop", index=0)
    # Cumulative, and the input's part need not be said again.
    said = {"output_tokens": usage.output}
    if usage.reasoning:
        said |= {"output_tokens_details": {"thinking_tokens": usage.reasoning}}
    yield event("message_delta", delta={"stop_reason": "end_turn"}, usage=said)
    yield event("message_stop")


def _openai(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _anthropic(usage: Usage, output: int) -> Json:
    """Input tokens leave out what was read from the cache."""
    said: Json = {
        "input_tokens": usage.input - usage.cached,
        "output_tokens": output,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0,
    }
    if usage.reasoning and output > 1:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said


def _json(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
