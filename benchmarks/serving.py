"""A server in a process of its own that tells its CPU, and a client that costs next to nothing."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

_STATUS = re.compile(rb"HTTP/1\.1 (\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Served:
    """A server process; it says where it listens (a port, or a URL that ends with one) in its first line."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | dict(environment or {})
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        self.port = int(said.strip().rstrip("/").rpartition(":")[2])

    def cpu(self) -> float:
        """User and system seconds so far."""
        return cpu_of(self.process.pid)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def execlog_serve(store: str, home: Path) -> Served:
    """A real `execlog serve` on a free port."""
    words = ["--home", str(home), "--store", store]
    return Served([sys.executable, "-m", "execlog", "serve", "--port", "0", "--no-scheduler", *words])


def cpu_of(pid: int) -> float:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """Asks over one keep-alive connection, one request after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"127.0.0.1:{port}"

    def get(self, path: str) -> bytes:
        """The body of a 200."""
        return self._ask(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: */*\r\n\r\n".encode(), 200)

    def post(self, path: str, body: bytes, media_type: str, *, status: int = 201) -> bytes:
        """The body of the answer, which must have this status."""
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {media_type}\r\n"
        return self._ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body, status)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _ask(self, request: bytes, status: int) -> bytes:
        self._socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        said, length = _STATUS.match(head), _LENGTH.search(head)
        assert said is not None, head
        assert int(said[1]) == status, data[:2000]
        assert length is not None, head
        parts, missing = [body], int(length[1]) - len(body)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        return b"".join(parts)

    def _more(self) -> bytes:
        data = self._socket.recv(262_144)
        assert data, "the server hung up"
        return data
