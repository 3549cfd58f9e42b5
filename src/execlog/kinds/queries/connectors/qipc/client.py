"""A client of a kdb+ process: connect, say who, ask, read the answer."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any

from execlog.core.sockets import is_quiet
from execlog.kinds.queries.connectors.qipc.messages import (
    HEADER,
    RESPONSE,
    SYNC,
    decompress,
    message,
    read_header,
    value_of,
)
from execlog.kinds.queries.connectors.qipc.wire import WireError

CAPABILITY = b"\3"
"""Compression, timestamps, timespans and guids, in messages up to 2 GiB (kdb+ 3.0 and later)."""

_PIECE = 1 << 18


class AccessError(ConnectionError):
    """The process does not let this user in."""


class Client:
    """One connection. Used by one thread at a time, except `close`."""

    def __init__(self, line: socket.socket, *, max_message: int) -> None:
        self._line, self._max_message = line, max_message
        self.is_waiting = False
        """Whether an answer has not been read to its end."""

    @classmethod
    def connect(
        cls, host: str, port: int, *, user: str, password: str, tls: bool, timeout: float, max_message: int
    ) -> Client:
        """A connection that let us in. Raises AccessError, or OSError."""
        line = socket.create_connection((host, port), timeout=timeout)
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                line = ssl.create_default_context().wrap_socket(line, server_hostname=host)
            who = f"{user}:{password}" if password else user
            line.sendall(who.encode() + CAPABILITY + b"\0")
            let_in = line.recv(1)
            line.settimeout(None)
        except BaseException:
            line.close()
            raise
        if not let_in:
            line.close()
            raise AccessError(f"{host}:{port} does not let {user!r} in")
        return cls(line, max_message=max_message)

    def ask(self, value: Any) -> Any:
        """The answer to a sync message. Raises QError for kdb+'s own errors, WireError, or ConnectionError."""
        self.is_waiting = True
        self._line.sendall(message(value, SYNC))
        while True:
            data = self._receive()
            # What the process says by itself meanwhile (published rows, callbacks) is not for us.
            if data[1] == RESPONSE:
                self.is_waiting = False
                return value_of(decompress(data, self._max_message) if data[2] else data)

    def is_quiet(self) -> bool:
        """Whether there is nothing to read, the line's end included."""
        return is_quiet(self._line.fileno())

    def hang_up(self) -> None:
        """End the line; a thread that waits for an answer wakes up."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up, and free the socket."""
        self.hang_up()
        self._line.close()

    def _receive(self) -> bytes:
        head = self._exactly(HEADER)
        header = read_header(head)
        if header.length > self._max_message:
            raise WireError(f"an answer of {header.length} bytes is more than the {self._max_message} that are taken")
        return head + self._exactly(header.length - HEADER)

    def _exactly(self, length: int) -> bytes:
        got = bytearray()
        while len(got) < length:
            piece = self._line.recv(min(_PIECE, length - len(got)))
            if not piece:
                raise ConnectionResetError("the kdb+ process closed the connection")
            got += piece
        return bytes(got)
