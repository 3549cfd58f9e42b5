"""A TCP proxy that can be all a network can be: away, slow, silent, cut off in the middle."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time

_CHUNK = 65_536
_POLL = 0.05
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, as a cable does that is pulled


class Proxy:
    """Forwards what comes to `port` to a server's port; what it does with it can be changed at any time.

    pass      forward
    refuse    nobody listens
    hang      take connections and bytes, and never answer
    slow      forward each piece `delay` seconds late
    cut       forward, and break every connection after some bytes
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self.mode, self.delay = "pass", 0.05
        self.cuts = 0
        self._chance = random.Random(50)
        self._lock = threading.Lock()
        self._pairs: set[socket.socket] = set()
        self._closed = False
        # Bound for good: while nobody listens, the kernel would give the port to another connection.
        self._holder = self._bind(0)
        self.port: int = self._holder.getsockname()[1]
        self._listener: socket.socket | None = self._listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def set(self, mode: str) -> None:
        """From now on so; connections there are break, except when they are only to become slow."""
        self.mode = mode
        if mode == "refuse":
            listener, self._listener = self._listener, None
            if listener is not None:
                listener.close()
        elif self._listener is None:
            self._listener = self._listen()
        if mode != "slow":
            self._abort_all()

    def close(self) -> None:
        """Break everything, and end."""
        self._closed = True
        self.set("refuse")
        self._thread.join(5)
        self._holder.close()

    @staticmethod
    def _bind(port: int) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(("127.0.0.1", port))
        except OSError:
            bound.close()
            raise
        return bound

    def _listen(self) -> socket.socket:
        """Listen again: as soon as whatever else came to have the port, a connection of a moment, has left it."""
        end = time.monotonic() + 30
        while True:
            try:
                listener = self._bind(self.port)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(_POLL)
        listener.listen(64)
        listener.settimeout(_POLL)
        return listener

    def _accept(self) -> None:
        while not self._closed:
            listener = self._listener
            if listener is None:
                time.sleep(_POLL)
                continue
            try:
                client, _ = listener.accept()
            except OSError:  # nobody came, or it was closed
                continue
            client.settimeout(None)
            self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream), 5)
        except OSError:
            _abort(client)
            return
        server.settimeout(None)
        with self._lock:
            self._pairs |= {client, server}
            left = [self._chance.randrange(200, 20_000)]
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._forward, args=(source, target, left), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, left: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                while self.mode == "hang":
                    time.sleep(_POLL)
                if self.mode == "slow":
                    time.sleep(self.delay)
                if self.mode == "cut" and len(data) >= left[0]:
                    target.sendall(data[: left[0]])
                    self.cuts += 1
                    break
                left[0] -= len(data)
                target.sendall(data)
        with self._lock:
            self._pairs -= {source, target}
        _abort(source)
        _abort(target)

    def _abort_all(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for each in pairs:
            _abort(each)


def _abort(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
