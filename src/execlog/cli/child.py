"""A command run as if we were not there: input, output, terminal, signals and exit code pass through; a tail is kept.

Where our input and output are both a terminal, the command gets a terminal of its own (a pty, its own session) and ours
is in raw mode meanwhile: Ctrl-C, Ctrl-Z, full-screen programs and window sizes work. Otherwise it stays in our process
group and keeps our input; each of its outputs that is a terminal here is one there too, the others are pipes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import signal
import struct
import termios
import threading
import time
import tty
from collections.abc import Generator, Sequence
from typing import NamedTuple

from execlog.cli.plumbing import Output, Tail, copy_input, copy_outputs, hand_on

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_FORWARDED = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM}
)
_WAITED = _FORWARDED | {signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT}
_SENT_BY_KERNEL = 128
"""si_code of a signal that a terminal sent: the command, in our process group, has got it too."""
_PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL once the time is up."""


class Ending(NamedTuple):
    """How a command ended.

    code        what a shell would show: the exit code, or 128 + the signal's number
    signal      that killed it
    forwarded   signals it was sent through us
    timed_out   the seconds after which it was ended because its time was up; None where it was not
    """

    code: int
    signal: int | None = None
    forwarded: tuple[int, ...] = ()
    timed_out: float | None = None


class Child:
    """One command being run."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], *, keep: int) -> None:
        self._command = list(command)
        self.environment = environment
        self._whole = os.isatty(_STDIN) and os.isatty(_STDOUT)
        self._forwarded: list[int] = []
        self._deadline: float | None = None
        self._timed_out = False
        self._master: int | None = None
        self._saved: list[int | list[bytes | int]] | None = None
        self._in_front = threading.Event()
        self._pid = 0
        self.tail = Tail(keep)
        self.errors = Tail(keep)

    def run(self, *, timeout: float | None = None) -> Ending:
        """How the command ended. Raises OSError (ENOENT, EACCES, ENOEXEC …) where it cannot be started.

        To be called in the main thread, within `waiting_signals` entered before any other thread was started.
        """
        outputs = self._start()
        if timeout is not None:
            self._deadline = time.monotonic() + timeout
        with self._raw_terminal():
            finished, wake = os.pipe()
            copying = [threading.Thread(target=copy_outputs, args=(outputs, finished), daemon=True)]
            if self._whole and self._master is not None:
                typing = (_STDIN, os.dup(self._master), finished, self._in_front, self._takes_suspend)
                copying.append(threading.Thread(target=copy_input, args=typing, daemon=True))
            for thread in copying:
                thread.start()
            status = self._wait()
            os.close(wake)
            self._in_front.set()
            copying[0].join()
            for output in outputs:
                if output.source != self._master:  # a terminal that goes hangs up on what is left, as any does
                    hand_on(output)
            for thread in copying[1:]:
                thread.join(_PATIENCE)
            os.close(finished)
        code = os.waitstatus_to_exitcode(status)
        killed_by = -code if code < 0 else None
        return Ending(
            128 - code if code < 0 else code, killed_by, tuple(self._forwarded), timeout if self._timed_out else None
        )

    def _start(self) -> list[Output]:
        """Start the command; where its outputs come out."""
        outputs: list[Output] = []
        actions: list[tuple[int, int, int] | tuple[int, int] | tuple[int, int, str, int, int]] = []
        ours: list[int] = []
        slave: int | None = None
        if os.isatty(_STDOUT) or os.isatty(_STDERR):
            self._master, slave = pty.openpty()
            ours.append(slave)
            self._copy_size()
            target = _STDOUT if os.isatty(_STDOUT) else _STDERR
            outputs.append(Output(self._master, target, (self.tail, self.errors)))
            self._prepare(slave)
        if self._whole and slave is not None:
            actions.append((os.POSIX_SPAWN_OPEN, _STDIN, os.ttyname(slave), os.O_RDWR, 0))
        for number in (_STDOUT, _STDERR):
            if os.isatty(number) and slave is not None:
                actions.append((os.POSIX_SPAWN_DUP2, slave, number))
                continue
            source, sink = os.pipe()
            ours.append(sink)
            keepers = (self.tail, self.errors) if number == _STDERR else (self.tail,)
            outputs.append(Output(source, number, keepers))
            actions.append((os.POSIX_SPAWN_DUP2, sink, number))
        try:
            self._spawn(actions)
        finally:
            for descriptor in ours:
                os.close(descriptor)
        return outputs

    def _spawn(self, actions: list[tuple[int, int, int] | tuple[int, int] | tuple[int, int, str, int, int]]) -> None:
        self._pid = os.posix_spawnp(
            self._command[0],
            self._command,
            self.environment,
            file_actions=actions,
            setsid=self._whole,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # the interpreter ignores these two
        )

    def _prepare(self, slave: int) -> None:
        """Give the command's terminal our settings; without our input it only writes, and we do the line endings."""
        if self._whole:
            termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(_STDIN))
        else:
            settings = termios.tcgetattr(slave)
            settings[1] &= ~termios.OPOST
            termios.tcsetattr(slave, termios.TCSANOW, settings)

    def _wait(self) -> int:
        """Hand signals on until the command has ended; its wait status."""
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
            if pid and not os.WIFSTOPPED(status):
                return status
            if pid and self._whole:
                self._stop_too()
            received = self._next_signal()
            if received is not None:
                self._take(received)

    def _next_signal(self) -> signal.struct_siginfo | None:
        if self._deadline is None:
            return signal.sigwaitinfo(_WAITED)
        left = self._deadline - time.monotonic()
        received = signal.sigtimedwait(_WAITED, max(left, 0.0))
        if received is None:
            self._time_is_up()
        return received

    def _take(self, received: signal.struct_siginfo) -> None:
        number = received.si_signo
        if number == signal.SIGWINCH:
            self._copy_size()
            if not self._whole:  # it was told of the change before its terminal had the new size
                os.kill(self._pid, number)
        elif number == signal.SIGCONT:
            self._enter_raw()
        elif number in _FORWARDED:
            self._forwarded.append(number)
            if self._whole or received.si_code != _SENT_BY_KERNEL:
                os.kill(self._pid, number)

    def _time_is_up(self) -> None:
        os.kill(self._pid, signal.SIGKILL if self._timed_out else signal.SIGTERM)
        self._timed_out = True
        self._deadline = time.monotonic() + _PATIENCE

    def _takes_suspend(self, terminal: int, typed: bytes) -> bool:
        """Whether this was Ctrl-Z for the command, which is stopped then.

        The kernel would do it, but not for the leader of a session whose parent is outside of it.
        """
        settings = termios.tcgetattr(terminal)
        if typed != settings[6][termios.VSUSP] or not settings[3] & termios.ISIG or os.tcgetpgrp(terminal) != self._pid:
            return False
        os.killpg(self._pid, signal.SIGSTOP)
        return True

    def _stop_too(self) -> None:
        """Ctrl-Z stopped the command in its own session: stop our job as well, and both go on together."""
        self._leave_raw()
        os.kill(0, signal.SIGTSTP)
        self._enter_raw()
        os.killpg(self._pid, signal.SIGCONT)

    def _copy_size(self) -> None:
        source = _STDOUT if os.isatty(_STDOUT) else _STDERR
        if self._master is None or not os.isatty(source):
            return
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    @contextlib.contextmanager
    def _raw_terminal(self) -> Generator[None]:
        self._enter_raw()
        try:
            yield
        finally:
            self._leave_raw()

    def _enter_raw(self) -> None:
        """Let every key through, if we are in the foreground: a job in the background must not touch the terminal."""
        if not self._whole or os.tcgetpgrp(_STDIN) != os.getpgrp():
            return
        if self._saved is None:
            self._saved = termios.tcgetattr(_STDIN)
            tty.setraw(_STDIN, termios.TCSADRAIN)
        self._in_front.set()

    def _leave_raw(self) -> None:
        self._in_front.clear()
        if self._saved is not None:
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, self._saved)
            self._saved = None


@contextlib.contextmanager
def waiting_signals() -> Generator[None]:
    """Keep the signals that `Child` hands on for it: blocked in this thread and all it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def why_not(command: str, error: OSError) -> tuple[int, str]:
    """The exit code and the message for a command that could not be started, as shells have them."""
    from execlog.cli import exits

    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        where = "no such file" if "/" in command else "not found on the PATH"
        return exits.NOT_INSTALLED, f"{command}: {where}"
    if error.errno == errno.ENOEXEC:
        return exits.NOT_EXECUTABLE, f"{command}: not a program (no #! line?)"
    return exits.NOT_EXECUTABLE, f"{command}: {os.strerror(error.errno or 0)}"
