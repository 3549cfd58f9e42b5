"""Running a command: its own process group, the tail of its output, and an end by SIGTERM, then SIGKILL, or with us."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import Struct

from execlog.runner.guardian import guarding
from execlog.runner.stop import Stop

TAIL_LINES = 100
TAIL_CHARACTERS = 16_384
KILL_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

_POLL = 0.1
_LINGER = 0.5
"""Seconds to wait for the end of the output after the command ended: a child left behind may hold it open for ever."""


class CommandResult(Struct, frozen=True):
    """How a command ended: its exit code (negative: the signal that killed it), and the last lines it wrote."""

    exit_code: int
    tail: tuple[str, ...]
    duration: float
    timed_out: bool = False
    stopped: str = ""

    @property
    def complaint(self) -> str:
        """What to say about a command that failed."""
        last = next((line.strip() for line in reversed(self.tail) if line.strip()), "")
        what = f"killed by {_signal_name(-self.exit_code)}" if self.exit_code < 0 else f"exit code {self.exit_code}"
        return f"{what}: {last[:500]}" if last else what


def run_command(
    command: str | Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    stop: Stop | None = None,
) -> CommandResult:
    """How the command ended; a text goes through the shell. Raises OSError when it cannot be started.

    At the time-out, or when asked to stop, its whole process group gets SIGTERM and, KILL_GRACE later, SIGKILL. Should
    this process be killed, the group is, too.
    """
    began = time.monotonic()
    with guarding() as guard:
        process = subprocess.Popen(
            command if isinstance(command, str) else list(command),
            shell=isinstance(command, str),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        guard(process.pid)
        ending = _Ending(process, None if timeout is None else began + timeout, stop)
        with process:
            tail = _read(process, ending)
            while process.poll() is None:
                ending.look()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL)
    if ending.signalled:
        ending.kill(signal.SIGKILL)  # whatever of its group outlived it
    return CommandResult(
        exit_code=process.returncode,
        tail=tail,
        duration=time.monotonic() - began,
        timed_out=ending.timed_out,
        stopped=stop.reason if stop is not None and ending.signalled and not ending.timed_out else "",
    )


class _Ending:
    """When and how the command's process group is told to end."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: float | None, stop: Stop | None) -> None:
        self._process = process
        self._deadline = deadline
        self._stop = stop
        self._kill_at: float | None = None
        self.timed_out = False

    @property
    def signalled(self) -> bool:
        return self._kill_at is not None

    def look(self) -> None:
        """Send what is due."""
        now = time.monotonic()
        if self._kill_at is None:
            self.timed_out = self._deadline is not None and now >= self._deadline
            if self.timed_out or (self._stop is not None and self._stop.is_set()):
                self._kill_at = now + KILL_GRACE
                self.kill(signal.SIGTERM)
        elif now >= self._kill_at:
            self.kill(signal.SIGKILL)

    def kill(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _read(process: subprocess.Popen[bytes], ending: _Ending) -> tuple[str, ...]:
    """The tail of the output, read until its end, or a little longer than the command lives."""
    stream = process.stdout
    if stream is None:
        return ()
    tail = _Tail()
    give_up: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while give_up is None or time.monotonic() < give_up:
            ready = selector.select(_POLL)
            ending.look()
            if give_up is None and process.poll() is not None:
                give_up = time.monotonic() + _LINGER
            if ready:
                chunk = os.read(stream.fileno(), 65_536)
                if not chunk:
                    break
                tail.add(chunk)
        else:
            _leave(stream.fileno())
    return tail.lines()


def _leave(source: int) -> None:
    """Leave an output to a `cat`, for as long as a child left behind may write to it: SIGPIPE would kill that one."""
    with contextlib.suppress(OSError):
        subprocess.run(
            ["/bin/sh", "-c", "exec 3<&0; cat <&3 &"],
            stdin=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            check=False,
        )


class _Tail:
    """The last lines of a stream of bytes, in bounded memory."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = ""

    def add(self, chunk: bytes) -> None:
        *whole, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        self._rest = self._rest[-TAIL_CHARACTERS:]
        self._lines.extend(line[-TAIL_CHARACTERS:] for line in whole)

    def lines(self) -> tuple[str, ...]:
        """The lines as a terminal shows them: at most TAIL_CHARACTERS, whole ones, or else the end of the last one."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        room, kept = TAIL_CHARACTERS, deque[str]()
        lines = [*self._lines, rest] if rest else list(self._lines)
        for line in reversed(lines):
            shown = line.rstrip("\r").rpartition("\r")[2]  # of a progress bar what it said last
            room -= len(shown) + 1
            if room < 0 and kept:
                break
            kept.appendleft(shown)
        return tuple(kept)


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
