"""Steps that call Python functions and tools, plain and async."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from execlog.core.errors import InvalidError
from execlog.kinds.workflows.steps.context import StepContext
from execlog.runner.actions import load_function

Function = Callable[..., Any]


def find_function(name: str, functions: Mapping[str, Function]) -> Function:
    """The function of this name, or at this "module:function". Raises InvalidError."""
    if name in functions:
        return functions[name]
    if ":" not in name:
        known = ", ".join(sorted(functions)) or "none"
        raise InvalidError(f"no function {name!r} (the engine has {known}); or write module:function")
    return load_function(name)


def call(
    function: Function, values: dict[str, Any], context: StepContext, loop: asyncio.AbstractEventLoop | None
) -> Any:
    """What the function returns, or its coroutine, which runs in `loop` where there is one, else in one of its own."""
    positional, named = _arguments(function, values)
    returned = function(*positional, **named)
    if not inspect.isawaitable(returned):
        return returned
    coroutine = _as_coroutine(returned)
    return _in_its_own_loop(coroutine, context) if loop is None else _in_loop(coroutine, context, loop)


def _arguments(function: Function, values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The values by position where the function, as many of Python's own, takes them only so."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return [], values
    only = [each.name for each in parameters if each.kind is each.POSITIONAL_ONLY and each.name in values]
    return [values[name] for name in only], {name: value for name, value in values.items() if name not in only}


def _in_loop(coroutine: Coroutine[Any, Any, Any], context: StepContext, loop: asyncio.AbstractEventLoop) -> Any:
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    forget = context.on_stop(lambda: cast("Any", future.cancel()))
    try:
        return future.result()
    finally:
        forget()


def _in_its_own_loop(coroutine: Coroutine[Any, Any, Any], context: StepContext) -> Any:
    async def main() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(coroutine)
        forget = context.on_stop(lambda: cast("Any", loop.call_soon_threadsafe(task.cancel)))
        try:
            return await task
        finally:
            forget()

    return asyncio.run(main())


async def _as_coroutine(awaitable: Any) -> Any:
    return await awaitable
