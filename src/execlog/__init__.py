"""Execution history for Python: record, keep and read what ran.

    import execlog

    @execlog.track
    def load(day): ...

    with execlog.run("nightly", kind="pipeline") as run:
        for item in run.items(["AAPL", "MSFT"]):
            with item:
                run.rows(load(item.value))

Everything goes to the default ledger (`EXECLOG_HOME`, `EXECLOG_STORE`) unless `configure` names another.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from execlog.history.history import History
    from execlog.ledger import Ledger
    from execlog.recorder.run import Run
    from execlog.recorder.track import Result

__all__ = [
    "Ledger", "aeach", "configure", "current_run", "default_ledger", "each", "flush", "open_history", "record",
    "record_durable", "run", "track",
]  # fmt: skip
__version__ = "0.1.0"

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_lock = threading.Lock()
_default: Ledger | None = None
_refusing: Ledger | None = None


def default_ledger() -> Ledger:
    """The ledger that this module's functions write to, opened at first use. Raises SettingsError."""
    global _default  # noqa: PLW0603 - the one default of the process
    if _default is None:
        from execlog.ledger import Ledger

        with _lock:
            if _default is None:
                _default = _after_refusals(Ledger.open())
    return _default


def _recording() -> Ledger:
    """The default ledger; one that refuses and counts everything while that cannot be opened. Never raises."""
    global _refusing  # noqa: PLW0603 - as `_default`
    ledger = _default or _refusing
    if ledger is None:
        try:
            ledger = default_ledger()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being opened, what is recorded goes on
            from execlog.ledger import Ledger

            with _lock:
                ledger = _refusing = _refusing or Ledger.refusing(error)
    return ledger


def _after_refusals(ledger: Ledger) -> Ledger:
    """The ledger, which goes on counting what was refused while there was none."""
    global _refusing
    before, _refusing = _refusing, None
    if before is not None:
        ledger.recorder.refused.update(before.recorder.refused)
        before.close()
    return ledger


def configure(ledger: Ledger | None = None, **settings: Any) -> Ledger:
    """The new default ledger: the one given, or one opened with `Ledger.open(**settings)`; the one before is closed."""
    global _default
    from execlog.ledger import Ledger

    new = ledger or Ledger.open(**settings)
    with _lock:
        _after_refusals(new)
        old, _default = _default, new
    if old is not None and old is not new:
        old.close()
    return new


def open_history(ledger: Ledger | None = None) -> History:
    """The answers of a ledger (the default one): what ran, what failed and why. See `execlog.history.history.History`.

    >>> [one.subject for one in execlog.open_history().executions(status="failed", since="24h")]
    """
    from execlog.history.history import History

    return History(ledger or default_ledger())


def record(name: str, **fields: Any) -> str:
    """The id of what was recorded: something that already happened. It survives `kill -9` when this returns.

    Fields: kind, status, subject, started_at, ended_at, duration (seconds), rows, error, items, usage, input, output,
    metadata, tags … as in `execlog.core.model.Event`. Without a status the error decides, or else the items, or else it
    succeeded. Never raises.
    """
    return _recording().recorder.record(name, **fields)


def record_durable(name: str, **fields: Any) -> str:
    """As `record`, and it survives a power cut when this returns."""
    return _recording().record_durable(name, **fields)


def run(name: str, **fields: Any) -> Run:
    """An execution that begins when it is entered, in `with` or `async with`; see `execlog.recorder.run.Run`."""
    return _recording().run(name, **fields)


def current_run() -> Run | None:
    """The innermost run this code is in, None outside of any."""
    from execlog.recorder.run import current_run as current

    return current()


@overload
def track(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def track(name: str, /, *, params: bool = True, **fields: Any) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
@overload
def track(
    *, name: str | None = None, params: bool = True, **fields: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def track(function: Any = None, /, *, name: str | None = None, params: bool = True, **fields: Any) -> Any:
    """The function, recorded each time it is called; `@track`, `@track("name")` or `@track(kind=…, params=False, …)`.

    Plain, async and generator functions alike. Arguments are recorded (long ones as what they are) unless `params` is
    False.
    """
    from execlog.recorder.track import tracked

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return tracked(function, run, name, params=params, fields=fields)

    if function is None or isinstance(function, str):
        name = name or function
        return decorate
    is_function = any((callable(function), isinstance(function, classmethod)))
    if not is_function:
        message = f"track takes a function or a name, not {function!r:.60}"
        raise TypeError(message)
    return decorate(function)


def each(
    function: Callable[[T], R], values: Iterable[T], *, limit: int = 1, key: Callable[[T], str] = str
) -> list[Result[T, R]]:
    """What became of `function(value)` for every value, in order: an item each, at most `limit` at once in threads.

    Inside a run the items are that run's, else one is made. An exception fails its item only: see `Result.error`.
    Raises ValueError for a limit below 1, TypeError for a coroutine function, which is `aeach`'s.
    """
    return _recording().each(function, values, limit=limit, key=key)


async def aeach(
    function: Callable[[T], Awaitable[R]], values: Iterable[T], *, limit: int = 10, key: Callable[[T], str] = str
) -> list[Result[T, R]]:
    """As `each`, for a coroutine function; at most `limit` at once."""
    return await _recording().aeach(function, values, limit=limit, key=key)


def flush(timeout: float = 10.0) -> bool:
    """Whether the store got everything recorded before the call, within `timeout` seconds."""
    return _recording().flush(timeout)


def __getattr__(name: str) -> Any:
    if name == "Ledger":
        from execlog.ledger import Ledger

        return Ledger
    message = f"module 'execlog' has no attribute {name!r}"
    raise AttributeError(message)
