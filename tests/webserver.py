"""A real execlog server in a process of its own, for tests that need sockets, signals and streams."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Self

_PROGRAM = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what started the tests may have it ignored, as nohup does
from execlog.core.settings import load
from execlog.ledger import Ledger
from execlog.web.server import serve

settings = load(port=0, home=sys.argv[1], store=sys.argv[2] or None)
with Ledger.open(settings=settings, drains_home=True) as ledger:
    serve(ledger, announce=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""


class WebServer:
    """The running process; `url` is where it answers."""

    def __init__(self, home: Path, store: str = "memory://", **environment: str) -> None:
        source = Path(__file__).parents[1] / "src"
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(home), store],
            env=os.environ | {"PYTHONPATH": str(source), "PYTHONWARNINGS": "error"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            _, log = self.process.communicate(timeout=10)
            message = f"the server did not start: {log}"
            raise RuntimeError(message)
        self.port = int(self.url.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Seconds until it stopped after the signal, having said that it did."""
        begun = time.monotonic()
        self.process.send_signal(number)
        out, log = self.process.communicate(timeout=20)
        seconds = time.monotonic() - begun
        assert (self.process.returncode, out.strip()) == (0, "stopped"), (self.process.returncode, out, log)
        assert log == "", log
        return seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=20)


class EventReader:
    """A client of server-sent events: `next` gives them as they come."""

    def __init__(self, port: int, path: str, **headers: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self._socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self._events: Queue[dict[str, str]] = Queue()
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def next(self, seconds: float = 10.0) -> dict[str, str]:
        """The next event that has data, as its fields; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0.001))
            except Empty as error:
                raise TimeoutError(f"no event within {seconds:g} s") from error
            if "data" in event:
                return event

    def executions(self, number: int, seconds: float = 10.0) -> list[dict[str, object]]:
        """The data of the next events, so many of them."""
        return [json.loads(self.next(seconds)["data"]) for _ in range(number)]

    def first(self, seconds: float = 10.0) -> dict[str, str]:
        """The very next event, with data or without."""
        return self._events.get(timeout=seconds)

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._file.close()
        self._socket.close()

    def _read(self) -> None:
        event: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            for line in self._chunks():
                if not line:
                    if event:
                        self._events.put(event)
                    event = {}
                elif not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    event[name] = value
        self.ended.set()

    def _chunks(self) -> Iterator[str]:
        """The lines of the body, out of its chunks."""
        rest = ""
        while size := int(self._file.readline().strip() or b"0", 16):
            rest += self._file.read(size).decode()
            self._file.readline()
            *lines, rest = rest.split("\n")
            yield from lines
