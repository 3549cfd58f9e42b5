"""What an exception says: type, message, and the user's own frames first."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, cast

from execlog.core.errors import InvalidError
from execlog.core.fingerprint import HANDLING
from execlog.core.model import Error, Status

MAX_FRAMES = 20
MAX_MESSAGE = 10_000
_PARTS = 10
_RECORDER = str(Path(__file__).resolve().parent) + os.sep
_OURS = str(Path(__file__).resolve().parent.parent) + os.sep
_FOREIGN = (
    *(os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    _OURS,
)


def error_of(fault: BaseException | Error | str) -> Error:
    """The error in an exception (innermost user frame first, then the libraries' frames), or in a plain message.

    Frames of execlog are left out beside the user's and of its own errors, and those that only record always are:
    nobody looks there. Raises InvalidError for what is neither.
    """
    if isinstance(fault, Error):
        return fault
    if isinstance(fault, str):
        return Error("Error", fault[:MAX_MESSAGE])
    if not isinstance(fault, BaseException):  # pyright: ignore[reportUnnecessaryIsInstance] - callers hand in anything
        message = f"an error must be an exception or a text, not {fault!r:.60}"
        raise InvalidError(message)
    return Error(_type_name(fault), _message(fault)[:MAX_MESSAGE], tuple(_frames(fault))[:MAX_FRAMES])


def ends_well(fault: BaseException | None) -> bool:
    """Whether something ended without a failure: by itself, or by `sys.exit()` with nothing to complain about."""
    if not isinstance(fault, SystemExit):
        return fault is None
    return fault.code is None or (isinstance(fault.code, int) and fault.code == 0)


def status_of(fault: BaseException) -> Status:
    """What an exception makes of the thing it ended: timed out, cancelled, or failed."""
    if isinstance(fault, (TimeoutError, *_of_subprocess("TimeoutExpired"))):
        return Status.TIMED_OUT
    if isinstance(fault, KeyboardInterrupt | CancelledError | GeneratorExit) or _is_of_asyncio(fault):
        return Status.CANCELLED
    return Status.FAILED


def _is_of_asyncio(fault: BaseException) -> bool:
    """Whether it is asyncio's way to cancel; who never imported asyncio need not, which takes 20 ms."""
    return isinstance(fault, getattr(sys.modules.get("asyncio"), "CancelledError", ()))


def _type_name(fault: BaseException) -> str:
    kind = type(fault)
    return (
        kind.__qualname__ if kind.__module__ in {"builtins", "__main__"} else f"{kind.__module__}.{kind.__qualname__}"
    )


def _message(fault: BaseException) -> str:
    """What it says, the parts of a group, and what it came of, each with where it was raised."""
    lines = [_said(fault), *_parts(fault)]
    seen = {id(fault)}
    while len(seen) <= _PARTS:
        how, cause = _cause(fault)
        if cause is None or id(cause) in seen:
            break
        lines.append(f"{how}{_short(cause)}")
        seen.add(id(cause))
        fault = cause
    return "\n".join(lines)


def _cause(fault: BaseException) -> tuple[str, BaseException | None]:
    if fault.__cause__ is not None or fault.__suppress_context__:
        return "caused by ", fault.__cause__
    return HANDLING, fault.__context__


def _parts(fault: BaseException) -> list[str]:
    if not isinstance(fault, BaseExceptionGroup):
        return []
    parts = cast("BaseExceptionGroup[BaseException]", fault).exceptions
    return [f"- {_short(part)}" for part in parts[:_PARTS]]


def _short(fault: BaseException) -> str:
    """A part or a cause: its type, what it says, and where it was raised."""
    where = next(_frames(fault), None)
    first = f"{_type_name(fault)}: {_said(fault)[:500]}" + (f" (at {where})" if where else "")
    return "\n".join([first, *_parts(fault)])


def _said(fault: BaseException) -> str:
    """Its own text and notes; of a command that failed, also the last line it wrote to its standard error."""
    try:
        text = str(fault) or type(fault).__qualname__  # what `assert` and many time-outs raise says nothing itself
        if isinstance(fault, SystemExit) and isinstance(fault.code, int):
            text = f"exit code {text}"
        elif isinstance(fault, _of_subprocess("CalledProcessError")):
            line = _last_line(getattr(fault, "stderr", None))
            text = f"{text.rstrip('.')}: {line}" if line else text
    except Exception as broken:  # noqa: BLE001 - a caller's broken __str__ must not hide the error itself
        return f"(its message failed with {type(broken).__name__})"
    return "\n".join((text, *map(str, getattr(fault, "__notes__", ()))))


def _last_line(output: Any) -> str:
    text = output[-2_000:] if isinstance(output, bytes | str) else ""
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _of_subprocess(name: str) -> tuple[type[BaseException], ...]:
    """An exception type of `subprocess`, none where nobody imported it."""
    found = getattr(sys.modules.get("subprocess"), name, None)
    return () if found is None else (found,)


def _frames(fault: BaseException) -> Iterator[str]:
    users: list[str] = []
    libraries: list[tuple[str, str]] = []
    for frame, number in reversed([*traceback.walk_tb(fault.__traceback__)]):
        code = frame.f_code
        text = f"{code.co_filename}:{number} {code.co_qualname}"
        if is_foreign(code.co_filename):
            libraries.append((text, _real(code.co_filename)))
        else:
            users.append(text)
    yield from users
    hidden = _OURS if users or type(fault).__module__.startswith("execlog.") else _RECORDER
    yield from (text for text, path in libraries if not path.startswith(hidden))


def is_foreign(filename: str) -> bool:
    """Whether a source file is the standard library's, an installed package's or execlog's, not the user's own."""
    return filename.startswith("<frozen ") or _real(filename).startswith(_FOREIGN)


def _real(filename: str) -> str:
    try:
        return os.path.realpath(filename)
    except OSError:  # a relative one, and the working directory is gone
        return filename
