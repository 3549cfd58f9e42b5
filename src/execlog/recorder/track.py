"""Recording functions and loops: `track`, `each` and `aeach`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from inspect import getattr_static
from typing import Any, Generic, ParamSpec, SupportsIndex, TypeVar, cast

from msgspec import Struct

from execlog.recorder.run import Run, current_run, inside

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
MakeRun = Callable[..., Run]
Function = Callable[..., Any]
Begin = Callable[[tuple[Any, ...], dict[str, Any]], Run]
_SHOWN, _SHOWN_ENTRIES = 200, 20


class Result(Struct, Generic[T, R], frozen=True):
    """What became of one value: what the function returned, or the exception it raised."""

    value: T
    returned: R | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether it returned."""
        return self.error is None


def tracked(
    function: Callable[P, R], make_run: MakeRun, name: str | None, *, params: bool, fields: dict[str, Any]
) -> Callable[P, R]:
    """The function, recorded as an execution each time it is called; plain, async and generator functions alike."""
    if isinstance(function, staticmethod | classmethod):  # the class goes on handing it over as it did
        bound = cast("Any", function)
        inner = tracked(cast("Callable[P, R]", bound.__func__), make_run, name, params=params, fields=fields)
        return cast("Callable[P, R]", type(bound)(inner))
    called = name or name_of(function)
    signature = _signature_of(function) if params else None

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
        return make_run(called, **{"subject": called, "params": _params(signature, args, kwargs)} | fields)

    for fits, wrap in _WRAPPERS:
        if _is(fits, function):
            return cast("Callable[P, R]", functools.wraps(function)(wrap(function, begin)))
    return cast("Callable[P, R]", functools.wraps(function)(_plain(function, begin)))


def name_of(function: Function) -> str:
    """What a function is called, or what a partial one or a callable object is made of."""
    while isinstance(function, functools.partial):
        function = cast("functools.partial[Any]", function).func
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    # A method of a built-in type has no module of its own.
    module = getattr(named, "__module__", None) or getattr(named, "__objclass__", type(None)).__module__
    return f"{module}.{named.__qualname__}"


def _is(fits: Callable[[Any], bool], function: Function) -> bool:
    """Whether a function is of a sort; of a callable object, its method tells."""
    return fits(function) or fits(getattr_static(type(function), "__call__", None))


def _signature_of(function: Function) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some that are not written in Python do not tell
        return None


def _plain(function: Function, begin: Begin) -> Function:
    def now(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs):
            return function(*args, **kwargs)

    return now


def _coroutine(function: Function, begin: Begin) -> Function:
    async def later(*args: Any, **kwargs: Any) -> Any:
        async with begin(args, kwargs):
            return await function(*args, **kwargs)

    return later


def _generator(function: Function, begin: Begin) -> Function:
    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        run = begin(args, kwargs).begin()
        try:
            returned: Any = yield from _stepped(function(*args, **kwargs), run)
        except BaseException as fault:
            run.end(fault)
            raise
        run.end()
        return returned

    return generate


def _stepped(body: Generator[Any, Any, Any], run: Run) -> Generator[Any, Any, Any]:
    """What the generator yields, with the run as the current one while it works, not while its caller does."""
    step: Function = body.send
    value: Any = None
    while True:
        with inside(run):
            try:
                said = step(value)
            except StopIteration as stop:
                return stop.value
        try:
            step, value = body.send, (yield said)
        except GeneratorExit:
            with inside(run):
                body.close()
            raise
        except BaseException as fault:  # noqa: BLE001 - it is the generator's to handle
            step, value = body.throw, fault


def _async_generator(function: Function, begin: Begin) -> Function:
    async def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        run = begin(args, kwargs).begin()
        body: AsyncGenerator[Any, Any] = function(*args, **kwargs)
        step: Callable[[Any], Awaitable[Any]] = body.asend
        value: Any = None
        try:
            while True:
                with inside(run):
                    said = await step(value)
                try:
                    step, value = body.asend, (yield said)
                except GeneratorExit:
                    with inside(run):
                        await body.aclose()
                    raise
                except BaseException as fault:  # noqa: BLE001 - it is the generator's to handle
                    step, value = body.athrow, fault
        except StopAsyncIteration:
            run.end()
        except BaseException as fault:
            run.end(fault)
            raise

    return stream


_WRAPPERS: tuple[tuple[Callable[[Any], bool], Callable[[Function, Begin], Function]], ...] = (
    (inspect.isasyncgenfunction, _async_generator),
    (inspect.iscoroutinefunction, _coroutine),
    (inspect.isgeneratorfunction, _generator),
)


def each(
    function: Callable[[T], R], values: Iterable[T], make_run: MakeRun, *, limit: int, key: Callable[[T], str]
) -> list[Result[T, R]]:
    """What became of every value, in their order; at most `limit` at once in threads. A failure fails its item only.

    Raises ValueError for a limit that is no whole number of at least 1, TypeError for a coroutine function: nobody
    would await what it returns.
    """
    _check_limit(limit)
    if _is(inspect.iscoroutinefunction, function):
        message = "each calls plain functions; for a coroutine function there is aeach"
        raise TypeError(message)
    with _inside(make_run, function) as run:
        items = list(run.items_of(values, key))

        def one(item: Any) -> Result[T, R]:
            with item:
                return Result(item.value, function(item.value))
            return Result(item.value, None, item.fault)

        if limit == 1:
            return [one(item) for item in items]
        with ThreadPoolExecutor(limit, "execlog-each") as pool:
            futures = [pool.submit(copy_context().run, one, item) for item in items]
            return [future.result() for future in futures]


async def aeach(
    function: Callable[[T], Awaitable[R]],
    values: Iterable[T],
    make_run: MakeRun,
    *,
    limit: int,
    key: Callable[[T], str],
) -> list[Result[T, R]]:
    """As `each`, for a coroutine function; at most `limit` at once."""
    _check_limit(limit)
    import asyncio  # its caller has done so; most who import this never do, and are spared 20 ms

    gate = asyncio.Semaphore(limit)
    with _inside(make_run, function) as run:

        async def one(item: Any) -> Result[T, R]:
            async with gate:
                with item:
                    return Result(item.value, await function(item.value))
                return Result(item.value, None, item.fault)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in run.items_of(values, key)]
        return [task.result() for task in tasks]


def _check_limit(limit: Any) -> None:
    if not isinstance(limit, SupportsIndex) or limit.__index__() < 1:
        message = f"limit must be a whole number of at least 1, not {limit!r:.60}"
        raise ValueError(message)


@contextmanager
def _inside(make_run: MakeRun, function: Function) -> Generator[Run]:
    """The run this code is in, or else one of its own for the function."""
    run = current_run()
    if run is not None:
        yield run
        return
    name = name_of(function)
    with make_run(name, subject=name) as own:
        yield own


def _params(
    signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    if signature is None:
        return None
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None  # the call itself will say it better
    bound.apply_defaults()
    return {name: _shown(value) for name, value in bound.arguments.items() if name not in {"self", "cls"}} or None


def _shown(value: Any) -> Any:
    """A parameter as it is recorded: numbers and short texts as they are, anything larger as what it is."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    length = len(cast("Any", value)) if isinstance(value, list | tuple | set | frozenset | dict) else 0
    if length > _SHOWN_ENTRIES:
        return f"<{type(cast('object', value)).__name__} of {length}>"
    try:
        text = repr(cast("object", value))
    except Exception as error:  # noqa: BLE001 - a caller's broken __repr__ must not fail the call that is recorded
        return f"<{type(cast('object', value)).__name__}: {type(error).__name__}>"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
