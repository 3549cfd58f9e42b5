"""HTTP/1.1 with a limit on what is no body of a request: the size of its head and its trailers, and their time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536
SECONDS_FOR_HEAD = 30.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol; it keeps heads and trailers of any length, and waits for them for ever.

    Trailers are read past: nothing here asks for them, and uvicorn would put them among the headers.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = self._in_message = self._progressed = False
        self._size = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] - uvicorn's is narrower
        """Begin to wait for a first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the head, or what is no body after it, gets too large with it."""
        self._progressed = False
        super().data_received(data)
        if not self._in_message or self._progressed:
            return
        self._size += len(data)
        if self._size > MAX_HEAD:
            self._in_message = False
            if self._in_head:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to count and to wait."""
        self._in_head = self._in_message = True
        self._size = 0
        self._wait()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes behind the body is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head, self._progressed, self._size = False, True, 0
        self._arrived()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._progressed, self._size = True, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_message = False
        self._arrived()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The request is answered; what is still to come of it has as long as a head."""
        super().on_response_complete()
        if self._in_message and not self._in_head:
            self._wait()

    def _wait(self) -> None:
        self._arrived()
        self._deadline = self.loop.call_later(SECONDS_FOR_HEAD, self.transport.close)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
