"""A stand-in for a model endpoint, for demonstrations and tests. There is no model in it.

It speaks the OpenAI and the Anthropic format over real HTTP: whole and streamed answers, usage, errors, 429 with
Retry-After, answers that come late or break off. What it says and counts depends on what it is asked, and on nothing
else. Every answer carries the header `X-Execlog-Stand-In`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from msgspec import Struct

from execlog.kinds.workflows.models import standin_formats as formats
from execlog.kinds.workflows.models.openai import text_of

Json = dict[str, Any]
MAX_BODY = 8 * 2**20
THINKING = "-thinking"
"""A model whose name ends so reports tokens of reasoning."""


class Asked(Struct, frozen=True):
    """What the stand-in was asked."""

    api: str
    model: str
    prompt: str
    system: str
    body: Json
    headers: dict[str, str]


class Fault(Struct, frozen=True, kw_only=True):
    """How the stand-in fails one request.

    status       answer with this HTTP status; 0: take the request and fail later
    retry_after  what the Retry-After header says
    code         of the error, as the provider names it
    hang         seconds of silence before the answer, or before the connection is closed without one
    break_after  close the connection after so many pieces of a streamed answer
    """

    status: int = 0
    message: str = "the stand-in was told to fail"
    code: str | None = None
    retry_after: str | None = None
    hang: float = 0.0
    break_after: int | None = None


class StandIn:
    """The server: `with StandIn() as model: Endpoint(base_url=model.url)`.

    answer       makes the text of an answer; by default it repeats the prompt's last words, marked as no model's
    faults       what goes wrong, one entry a request, oldest first; None lets one through
    piece_delay  seconds between the pieces of a streamed answer
    key          what clients must authenticate with; None for nothing
    """

    def __init__(
        self,
        answer: Callable[[Asked], str] | None = None,
        *,
        port: int = 0,
        piece_delay: float = 0.0,
        key: str | None = None,
    ) -> None:
        self.answer = answer or repeat
        self.piece_delay = piece_delay
        self.key = key
        self.asked: list[Asked] = []
        self.faults: deque[Fault | None] = deque()
        self.stopping = threading.Event()
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        handler = cast("type[BaseHTTPRequestHandler]", type("Handler", (_Handler,), {"standin": self}))
        self._server = _Server(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its base URL, for both formats."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Answer no more."""
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def take(self, asked: Asked) -> tuple[Fault | None, formats.Usage]:
        """What goes wrong with this request, and what it uses: a system text seen before counts as cached."""
        with self._lock:
            self.asked.append(asked)
            fault = self.faults.popleft() if self.faults else None
            cached = formats.tokens(asked.system) if asked.system in self._seen else 0
            if fault is None or not fault.status:
                self._seen.add(asked.system)
        return fault, formats.Usage(formats.tokens(asked.system) + formats.tokens(asked.prompt), 0, cached, 0)


def repeat(asked: Asked) -> str:
    """The stand-in's own answer: the end of the prompt, and a number that only the prompt decides."""
    words = asked.prompt.split()
    digest = hashlib.blake2s(asked.prompt.encode(), digest_size=3).hexdigest()
    return f"[stand-in, no model] {' '.join(words[-12:])} ({len(words)} words, {digest})"


class _Server(ThreadingHTTPServer):
    """A server that does not mind clients who hang up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell what went wrong, unless the client just left."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    standin: StandIn
    protocol_version = "HTTP/1.1"
    server_version = "execlog-stand-in"

    def do_GET(self) -> None:
        """What this is."""
        self._send(
            200, {"object": "list", "data": [], "note": "a stand-in for demonstrations and tests; no model here"}
        )

    def do_POST(self) -> None:
        """Answer a question in the format its path says."""
        api = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}.get(self.path)
        body = self._body()
        if api is None or body is None:
            self._refuse(api or "openai", Fault(status=404 if api is None else 400, message="no such thing here"))
            return
        asked = _asked(api, body, {name.lower(): value for name, value in self.headers.items()})
        if self.standin.key is not None and not self._is_known(api):
            self._refuse(api, Fault(status=401, message="invalid api key", code="invalid_api_key"))
            return
        fault, usage = self.standin.take(asked)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer(asked, fault or Fault(), usage)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: whoever asks has a log."""

    def _answer(self, asked: Asked, fault: Fault, usage: formats.Usage) -> None:
        if fault.hang:
            self.standin.stopping.wait(fault.hang)
        if fault.status:
            self._refuse(asked.api, fault)
            return
        if fault.hang and fault.break_after == 0:
            self.close_connection = True
            return
        text = self.standin.answer(asked)
        reasoning = 7 if asked.model.endswith(THINKING) else 0
        usage = formats.Usage(usage.input, formats.tokens(text) + reasoning, usage.cached, reasoning)
        if asked.body.get("stream"):
            self._stream(formats.stream(asked.api, asked.body, text, usage), fault)
        else:
            self._send(200, formats.whole(asked.api, asked.body, text, usage))

    def _stream(self, pieces: Iterator[bytes], fault: Fault) -> None:
        self.send_response(200)
        self._head("text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, piece in enumerate(pieces):
            if fault.break_after is not None and number >= fault.break_after:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            if self.standin.piece_delay:
                time.sleep(self.standin.piece_delay)
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, api: str, fault: Fault) -> None:
        headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
        self._send(fault.status, formats.error(api, fault.message, fault.code, fault.status), headers)

    def _send(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self._head("application/json")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _head(self, media_type: str) -> None:
        self.send_header("Content-Type", media_type)
        self.send_header("X-Execlog-Stand-In", "true")

    def _body(self) -> Json | None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            return None
        try:
            body = json.loads(self.rfile.read(length))
        except ValueError:
            return None
        return cast("Json", body) if isinstance(body, dict) else None

    def _is_known(self, api: str) -> bool:
        given = self.headers.get("x-api-key" if api == "anthropic" else "Authorization", "")
        return given.removeprefix("Bearer ") == self.standin.key


def _asked(api: str, body: Json, headers: dict[str, str]) -> Asked:
    messages = [cast("Json", message) for message in cast("list[Any]", body.get("messages") or [])]
    texts = [text_of(message.get("content")) for message in messages if message.get("role") != "system"]
    system = [text_of(message.get("content")) for message in messages if message.get("role") == "system"]
    if body.get("system"):
        system.append(text_of(body["system"]))
    return Asked(api, str(body.get("model", "")), "\n".join(texts), "\n".join(system), body, headers)
