"""A peer that sends what providers of models send, byte for byte: for what the stand-in is too well-behaved to do."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Self

Json = dict[str, Any]
HANG, RESET = b"(hang)", b"(reset)"
"""Pieces of an answer that are not sent: silence until the client leaves, and a connection that breaks."""

USAGE: Json = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 150, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}


class ProviderPeer:
    """Answers one request after the other with the pieces of the next script; the last one again and again."""

    def __init__(self, *scripts: Iterable[bytes]) -> None:
        self._scripts = [list(script) for script in scripts]
        self.asked: list[Json] = []
        self.paths: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            first = reader.readline().decode()
            headers = dict(iter(lambda: tuple(reader.readline().decode().lower().split(": ", 1)), ("\r\n",)))
            self.paths.append(first.split()[1])
            self.asked.append(json.loads(reader.read(int(headers["content-length"]))))
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            for piece in script:
                if piece is HANG:
                    reader.read(1)
                elif piece is RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                else:
                    connection.sendall(piece)


def whole(body: Any, status: int = 200, **headers: Any) -> list[bytes]:
    """A whole response."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    head = {"Content-Type": "application/json", "Content-Length": len(data)} | headers
    return [_head(f"{status} Said", head) + data]


def events(*pieces: Any, closes: bool = False, newline: bytes = b"\n", cut: int | None = None) -> list[bytes]:
    """A streamed response: what is no bytes is an event; `cut`: so many bytes in each chunk."""
    framing = {"Connection": "close"} if closes else {"Transfer-Encoding": "chunked"}
    sent = [_head("200 OK", {"Content-Type": "text/event-stream; charset=utf-8"} | framing)]
    for piece in pieces:
        if piece is HANG or piece is RESET:
            return [*sent, piece]
        data = piece if isinstance(piece, bytes) else _event(piece, newline)
        parts = [data] if cut is None else [data[at : at + cut] for at in range(0, len(data), cut)]
        sent += parts if closes else [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    return sent if closes else [*sent, b"0\r\n\r\n"]


def completion(text: str | None = "fine", stop: str = "stop", usage: Any = USAGE, **message: Any) -> Json:
    """An answer of OpenAI's."""
    said = {"role": "assistant", "content": text, "refusal": None, "annotations": []} | message
    choices = [{"index": 0, "message": said, "logprobs": None, "finish_reason": stop}]
    return {
        "id": "chatcmpl-B9MB", "object": "chat.completion", "created": 1741569952, "model": "m", "choices": choices,
        "usage": usage, "service_tier": "default", "system_fingerprint": None,
    }  # fmt: skip


def chunk(stop: str | None = None, usage: Any = None, index: int = 0, **delta: Any) -> Json:
    """A piece of a streamed answer of OpenAI's; one with a usage has no choice."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": stop}
    return {
        "id": "chatcmpl-B9MB", "object": "chat.completion.chunk", "created": 1741569952, "model": "m",
        "service_tier": "default", "choices": [] if usage else [choice], "usage": usage,
    }  # fmt: skip


def chunks(*texts: str, stop: str = "stop", usage: Any = USAGE) -> list[Any]:
    """All of a streamed answer of OpenAI's."""
    first = chunk(role="assistant", content="", refusal=None)
    return [first, *(chunk(content=text) for text in texts), chunk(stop), chunk(usage=usage), "[DONE]"]


def message(text: str = "fine", stop: str | None = "end_turn", *, content: Any = None, **usage: Any) -> Json:
    """An answer of Anthropic's."""
    said = {"input_tokens": 400, "output_tokens": 200, "cache_read_input_tokens": 500}
    said |= {"cache_creation_input_tokens": 100, "service_tier": "standard"} | usage
    return {
        "id": "msg_01", "type": "message", "role": "assistant", "model": "m", "stop_reason": stop,
        "stop_sequence": None, "content": [{"type": "text", "text": text}] if content is None else content,
        "usage": said,
    }  # fmt: skip


def typed(*texts: str, stop: str = "end_turn") -> list[Any]:
    """All of a streamed answer of Anthropic's: 1000 tokens in, 200 out."""
    return [
        {"type": "message_start", "message": message(stop=None, content=[], output_tokens=1)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}} for text in texts),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 200}},
        {"type": "message_stop"},
    ]


def _event(said: Any, newline: bytes) -> bytes:
    data = said.encode() if isinstance(said, str) else json.dumps(said, ensure_ascii=False).encode()
    name = b"event: %s%s" % (said["type"].encode(), newline) if isinstance(said, dict) and "type" in said else b""
    return name + b"data: " + data + newline * 2


def _head(status: str, headers: Mapping[str, Any]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()
