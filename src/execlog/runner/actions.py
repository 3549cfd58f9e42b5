"""What runs for an item: a Python function or a command. Other actions are functions of the same shape."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Generator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from execlog.core import codec
from execlog.core.errors import InvalidError
from execlog.core.model import Error, Status
from execlog.ledger import PARENT
from execlog.recorder.fault import ends_well, error_of, status_of
from execlog.recorder.run import Run, inside
from execlog.runner.commands import CommandResult, run_command
from execlog.runner.job import Action, Call, Command
from execlog.runner.stop import Stop, current

_OUTPUT_LIMIT = 65_536


class Task(Struct, frozen=True, kw_only=True):
    """One item to run; picklable. `item` is None where a job without stocks runs once; the action keeps `timeout`.

    `folder` is where it runs, whatever folder what ran before changed to; None: wherever its process is.
    """

    action: Action
    item: str | None
    job_id: str
    execution_id: str
    timeout: float | None = None
    folder: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a process that runs it finds in its environment."""
        found = {"EXECLOG_JOB_ID": self.job_id, PARENT: self.execution_id}
        return found if self.item is None else found | {"EXECLOG_ITEM": self.item}


class ItemResult(Struct, frozen=True, kw_only=True):
    """What became of an item. `lines` are things it said, as (level, text)."""

    status: Status = Status.SUCCEEDED
    rows: int | None = None
    output: Any = None
    error: Error | None = None
    data: dict[str, Any] | None = None
    lines: tuple[tuple[str, str], ...] = ()


Perform = Callable[[Task], ItemResult]
"""Runs an item and tells what became of it. It may raise; `Stop` of `run.stop.current` says when to end early."""


def run_task(perform: Perform, task: Task, stop: Stop | None = None, run: Run | None = None) -> ItemResult:
    """What became of the item; never raises, so that the same comes back from a thread and from another process.

    What runs finds `stop` and `run` as its current ones, so that it can look, log, and nest.
    """
    token = current.set(stop)
    try:
        with inside(run):
            return perform(task)
    except BaseException as error:  # noqa: BLE001 - an item's exception is its outcome; SystemExit must not end a worker
        if ends_well(error):
            return ItemResult()
        return ItemResult(status=status_of(error), error=error_of(error))
    finally:
        current.reset(token)


def run_apart(perform: Perform, task: Task) -> ItemResult:
    """As `run_task`, in a process of its own: it has no flag, as it is killed, and knows the run by its environment."""
    os.environ.pop("EXECLOG_ITEM", None)
    os.environ.update(task.environment)
    if task.folder is not None:
        with suppress(OSError):
            os.chdir(task.folder)
    return run_task(perform, task)


def perform_call(task: Task) -> ItemResult:
    """Call the function, and run it to its end: with the item first where there is one."""
    action = cast("Call", task.action)
    function = load_function(action.function)
    value, rows = run_to_end(function(*(() if task.item is None else (task.item,)), **action.args))
    return value if isinstance(value, ItemResult) else ItemResult(output=_storable(value), rows=rows)


def perform_command(task: Task) -> ItemResult:
    """Run the command and keep the tail of its output."""
    action = cast("Command", task.action)
    env = task.environment | action.env
    stop = current.get()
    # A folder that is gone is the process's own still: a deployment may have removed it.
    here = task.folder if task.folder and Path(task.folder).is_dir() else ""
    folder = str(Path(here, action.cwd)) if action.cwd else here or None
    result = run_command(action.command, cwd=folder, env=env, timeout=task.timeout, stop=stop)
    status, error = _judge(result, task.timeout)
    return ItemResult(
        status=status,
        error=error,
        output={"exit_code": result.exit_code, "duration": round(result.duration, 6), "tail": "\n".join(result.tail)},
        lines=tuple(("info", line) for line in result.tail),
    )


def load_function(path: str) -> Callable[..., Any]:
    """The function at "package.module:function". Raises InvalidError when there is none that can be called."""
    module_name, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        hint = "; PYTHONPATH adds folders to those that are searched" if module_name.startswith(str(error.name)) else ""
        raise InvalidError(f"cannot load {path!r}: {error}{hint}", field="run.function") from error
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidError(f"cannot load {path!r}: {error}", field="run.function") from error
    if not callable(found):
        raise InvalidError(f"{path!r} is a {type(found).__name__}, not a function", field="run.function")
    return cast("Callable[..., Any]", found)


def run_to_end(value: Any) -> tuple[Any, int | None]:
    """What a function returned, and None; of a coroutine or generator its result, and how many values that yielded."""
    if inspect.isgenerator(value):
        return _exhausted(cast("Generator[Any, None, Any]", value))
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        import asyncio

        return asyncio.run(_awaited(value))
    return value, None


def timed_out(seconds: float, what: str = "") -> Error:
    """The error of something that took longer than it may: "Timeout after 30s"."""
    return Error(type="TimeoutError", message=f"Timeout after {round(seconds, 2):g}s{what}")


def today() -> str:
    """The day in UTC, as 2004-08-01."""
    return datetime.now(UTC).date().isoformat()


def _exhausted(generator: Generator[Any, None, Any]) -> tuple[Any, int]:
    count = 0
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value, count
        count += 1


async def _awaited(value: Any) -> tuple[Any, int | None]:
    return (None, sum([1 async for _ in value])) if inspect.isasyncgen(value) else (await value, None)


def _storable(value: Any) -> Any:
    """What a function returned, as plain JSON values; a large or strange one as the beginning of its text."""
    if value is None:
        return None
    try:
        plain = codec.builtins(value)
        if len(codec.to_json(plain)) <= _OUTPUT_LIMIT:
            return plain
    except Exception:  # noqa: BLE001 - a value nobody can encode is still worth its text
        plain = None
    return repr(value if plain is None else plain)[:_OUTPUT_LIMIT]


def _judge(result: CommandResult, timeout: float | None) -> tuple[Status, Error | None]:
    if result.timed_out:
        return Status.TIMED_OUT, timed_out(timeout or 0.0)
    if result.stopped:
        return Status.CANCELLED, Error(type="Cancelled", message=result.stopped)
    if result.exit_code != 0:
        return Status.FAILED, Error(type="CommandFailed", message=result.complaint)
    return Status.SUCCEEDED, None
