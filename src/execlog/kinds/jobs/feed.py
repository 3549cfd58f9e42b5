"""A price feed on this machine: real prices over real HTTP, for the demo and for tests.

`GET /prices?symbol=GOOG&start=2004-01-01&end=2004-12-31` answers as feeds do: rows, 404 with a reason, 400 for
nonsense, and, where it is asked to, 429 with Retry-After now and then and slow answers.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from execlog.kinds.jobs.csv_source import CsvSource
from execlog.kinds.jobs.fetcher import SAMPLE
from execlog.kinds.jobs.sources import CsvConfig, FetchError


class PriceFeed:
    """A running feed; `url` is where. Use it as a context manager, or `close` it.

    busy_every    every so manieth request is answered 429, with Retry-After of `busy_seconds`; 0: never
    delays        symbol → seconds its answers take
    """

    def __init__(
        self,
        path: Path = SAMPLE,
        *,
        busy_every: int = 0,
        busy_seconds: int = 1,
        delays: Mapping[str, float] | None = None,
        port: int = 0,
    ) -> None:
        self.source = CsvSource(CsvConfig(str(path)))
        self.busy_every, self.busy_seconds = busy_every, busy_seconds
        self.delays = dict(delays or {})
        self.requests = 0
        self._numbers = count(1)
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.feed = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="price-feed", daemon=True)
        self._thread.start()

    def answer(self, path: str, query: str) -> tuple[HTTPStatus, dict[str, str], dict[str, Any]]:
        """Status, headers and JSON for a request."""
        number = self.requests = next(self._numbers)
        if path != "/prices":
            return HTTPStatus.NOT_FOUND, {}, {"error": f"no such page: {path}"}
        if self.busy_every and number % self.busy_every == 0:
            return HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(self.busy_seconds)}, {"error": "too many requests"}
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        symbol, start, end = asked.get("symbol"), asked.get("start", ""), asked.get("end", "9999")
        if not symbol:
            return HTTPStatus.BAD_REQUEST, {}, {"error": "symbol is missing"}
        self._closing.wait(self.delays.get(symbol, 0.0))
        try:
            prices = self.source.fetch(symbol, start, end)
        except FetchError as error:
            return HTTPStatus.NOT_FOUND, {}, {"error": str(error)}
        return HTTPStatus.OK, {}, {"symbol": symbol, "rows": msgspec.to_builtins(prices)}

    def close(self) -> None:
        """Stop answering."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    feed: PriceFeed

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is its own business."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - only that server makes this handler

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        status, headers, answer = self.server.feed.answer(parts.path, parts.query)
        body = msgspec.json.encode(answer)
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: what matters is in the history."""
