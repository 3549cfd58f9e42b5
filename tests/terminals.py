"""Programs run on a terminal of their own, for tests: what they write is read with deadlines, keys are typed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Self


class Terminal:
    """A program on a terminal: the leader of its session, in the foreground."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        rows: int = 24,
        columns: int = 120,
        redirect: Mapping[int, str] | None = None,
    ) -> None:
        self.master, slave = pty.openpty()
        self.output = ""
        self._code: int | None = None
        self.resize(rows, columns)
        name = os.ttyname(slave)
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [(os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0)]
        for number in (1, 2):
            path = (redirect or {}).get(number)
            if path is None:
                actions.append((os.POSIX_SPAWN_DUP2, 0, number))
            else:
                actions.append((os.POSIX_SPAWN_OPEN, number, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        self.pid = os.posix_spawnp(
            command[0],
            list(command),
            dict(environment),
            file_actions=actions,
            setsid=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size, as a user does with the mouse."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self.master, text.encode())

    def expect(self, pattern: str, seconds: float = 15) -> re.Match[str]:
        """What matches in the output so far or to come; fails with the output after so many seconds."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self.output)) is None:
            if not self._read(deadline):
                raise AssertionError(f"no {pattern!r} in {seconds} s; there was:\n{self.output}")
        self.output = self.output[found.end() :]
        return found

    def wait(self, seconds: float = 20) -> int:
        """The exit code of the program, or minus the signal that killed it; its remaining output is read meanwhile."""
        deadline = time.monotonic() + seconds
        while self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise AssertionError(f"still running after {seconds} s; there was:\n{self.output}")
            else:
                self._read(min(deadline, time.monotonic() + 0.05))
        while self._read(time.monotonic()):
            pass
        return self._code

    def is_stopped(self) -> bool:
        """Whether the program is stopped, as by Ctrl-Z."""
        with open(f"/proc/{self.pid}/stat") as file:  # noqa: PTH123 - read many times a second
            return file.read().rpartition(")")[2].split()[0] == "T"

    def is_raw(self) -> bool:
        """Whether the terminal hands every key through."""
        return not termios.tcgetattr(self.master)[3] & termios.ICANON

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return False
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            data = os.read(self.master, 65_536)
            self.output += data.decode("utf-8", "replace").replace("\r\n", "\n")
            return bool(data)
        return False
