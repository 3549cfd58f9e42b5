"""Work in processes of its own: it can be killed, and killing one touches no other."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from multiprocessing.connection import Connection, wait
from typing import Any, ParamSpec, TypeVar

from execlog.runner.launcher import IDLE_SECONDS, Task, Work, WorkerDiedError

P = ParamSpec("P")
T = TypeVar("T")
_DIE_WITH_PARENT = 1
"""prctl's PR_SET_PDEATHSIG."""

_LEAST_LIMIT = 32
_START_SECONDS = 60.0
"""A worker process that has not said by then that it is ready is given up."""


class ProcessLauncher(Executor):
    """Runs work in at most `limit` processes, started as they are needed, each serving one piece after another.

    Without a limit they are 32, or twice as many as there are processors if that is more: what waits or hangs keeps no
    processor busy.

    What is submitted must be importable and picklable. A worker that dies (killed, out of memory, os._exit) fails
    its own work with WorkerDiedError and is replaced; unlike concurrent.futures' pool, no other work is lost with it.
    """

    def __init__(self, limit: int = 0, *, method: str | None = None) -> None:
        self._limit = limit or max(_LEAST_LIMIT, 2 * (os.cpu_count() or 1))
        self.share = max(self._limit // 2, 1)
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context(
            method or ("forkserver" if "forkserver" in methods else "spawn")
        )
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self._waiting = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Work:
        """The work, begun as soon as a process is free."""
        work = Work()
        with self._lock:
            if self._closed:
                raise RuntimeError("the launcher is shut down")
            self._waiting += 1
            self._tasks.put(Task(work, fn, args, kwargs))
            if self._waiting > sum(slot.work is None for slot in self._slots) and len(self._slots) < self._limit:
                slot = _Slot(self._context, self._tasks, self._note_taken, self._let_go)
                self._slots.append(slot)
                slot.start()
        return work

    def abandon(self, work: Work) -> None:
        """Give up on the work: the process that runs it is killed."""
        if work.cancel():
            return
        for slot in list(self._slots):
            if slot.work is work:
                slot.kill(work)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in Executor
        """Take no more work; with `wait` until what runs has ended, otherwise it is killed."""
        with self._lock:
            self._closed = True
            while cancel_futures or not wait:
                try:
                    task = self._tasks.get_nowait()
                except queue.Empty:
                    break
                if task is not None:
                    task.work.cancel()
            slots = list(self._slots)
            for _ in slots:
                self._tasks.put(None)
        for slot in slots:
            if not wait:
                slot.stop()
            slot.join()

    def _note_taken(self) -> None:
        with self._lock:
            self._waiting -= 1

    def _let_go(self, slot: _Slot) -> bool:
        """Whether the slot, which found nothing to do, may end: not where something came at the last moment."""
        with self._lock:
            if self._waiting or self._closed:
                return False
            self._slots.remove(slot)
            return True


class _Slot(threading.Thread):
    """A thread that minds one worker process."""

    def __init__(
        self,
        context: Any,
        tasks: queue.SimpleQueue[Task | None],
        on_take: Callable[[], None],
        on_idle: Callable[[_Slot], bool],
    ) -> None:
        super().__init__(name="execlog-process", daemon=True)
        self._context = context
        self._tasks = tasks
        self._on_take = on_take
        self._on_idle = on_idle
        self._lock = threading.Lock()
        self._process: Any = None
        self._connection: Connection[Any, Any] | None = None
        self.work: Work | None = None

    def run(self) -> None:
        """Serve tasks until told to end, or idle for long."""
        while (task := self._next()) is not None:
            with self._lock:
                self.work = task.work
            self._on_take()
            self._perform(task)
            with self._lock:
                self.work = None
        self._end()

    def _next(self) -> Task | None:
        while True:
            try:
                return self._tasks.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                if self._on_idle(self):
                    return None

    def stop(self) -> None:
        """Kill the process, if it runs any work; work it has not begun is not run."""
        work = self.work
        if work is not None and not work.cancel():
            self.kill(work)

    def kill(self, work: Work) -> None:
        """Kill the process, if it runs this work."""
        with self._lock:
            if self.work is work and self._process is not None:
                self._process.kill()

    def _perform(self, task: Task) -> None:
        """Run the task; it begins when there is a process for it, whose start is no time of its own."""
        fault: Exception | None = None
        connection: Connection[Any, Any] | None = None
        try:
            connection = self._connected()
        except Exception as error:  # noqa: BLE001 - what cannot be started fails this work, not the thread
            fault = error
            self._end()
        if not task.work.begin():
            return
        if connection is None:
            task.work.set_exception(fault)
            return
        try:
            connection.send((task.call, task.args, task.kwargs))
        except Exception as error:  # noqa: BLE001 - nor does what cannot be sent
            self._end()
            task.work.set_exception(error)
            return
        self._receive(task.work, connection)

    def _receive(self, work: Work, connection: Connection[Any, Any]) -> None:
        try:
            wait([connection, self._process.sentinel])
            succeeded, value = connection.recv()
        except (EOFError, OSError):
            work.set_exception(self._buried())
            return
        if succeeded:
            work.set_result(value)
        else:
            work.set_exception(value)

    def _buried(self) -> WorkerDiedError:
        """How the process ended, once it is put away."""
        self._process.join()
        message = _describe_exit(self._process.exitcode)
        self._end()
        return WorkerDiedError(message)

    def _connected(self) -> Connection[Any, Any]:
        if self._process is not None and self._process.is_alive() and self._connection is not None:
            return self._connection
        self._end()
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,), name="execlog-worker", daemon=True)
        process.start()
        theirs.close()
        with self._lock:
            self._process, self._connection = process, ours
        try:
            if not ours.poll(_START_SECONDS):
                raise WorkerDiedError(f"its worker process did not start within {_START_SECONDS:g} s")
            ours.recv()
        except (EOFError, OSError) as error:
            raise self._buried() from error
        return ours

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def _serve(connection: Connection[Any, Any]) -> None:
    """A worker process: runs what comes until the other side closes."""
    _die_with_parent()
    multiprocessing.current_process().daemon = False  # else what it runs could have no processes of its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which decides what becomes of its work
    importlib.import_module("execlog.runner.actions")  # what nearly all work needs
    _send(connection, succeeded=True, value=None)
    while True:
        try:
            call, args, kwargs = connection.recv()
        except (EOFError, OSError):
            return
        except Exception as error:  # noqa: BLE001 - a function this process cannot import
            _send(connection, succeeded=False, value=error)
            continue
        try:
            value = call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is the work's outcome
            _send(connection, succeeded=False, value=error)
        else:
            _send(connection, succeeded=True, value=value)


def _send(connection: Connection[Any, Any], *, succeeded: bool, value: Any) -> None:
    try:
        connection.send((succeeded, value))
    except (BrokenPipeError, ConnectionError):
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - a value that cannot be pickled
        connection.send((False, RuntimeError(f"its {type(value).__name__} cannot be sent back: {error}")))


def _die_with_parent() -> None:
    """Ask Linux to kill this process with its parent, so that no work goes on behind a crashed scheduler's back."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        hint = " (by hand, or out of memory)" if -code == signal.SIGKILL else ""
        return f"its worker process was killed by {name}{hint}"
    return f"its worker process ended with exit code {code}"
