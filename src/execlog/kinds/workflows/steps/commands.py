"""Steps that run commands: output captured to files, ended by SIGTERM and then SIGKILL, with all they started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from typing import IO, Any

from execlog.core.errors import ExeclogError
from execlog.kinds.workflows.steps.context import StepContext
from execlog.kinds.workflows.template import as_text
from execlog.runner.guardian import guarding

MAX_OUTPUT = 32 * 2**20
TAIL = 2_000
KILL_GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL."""


class CommandFailedError(ExeclogError):
    """A command ended with another exit code than 0."""

    retry = True


def run(values: dict[str, Any], context: StepContext, *, output: str) -> Any:
    """What the command wrote to its standard output: as text, or the JSON in it.

    Raises CommandFailedError with the end of what it wrote to its standard error, OSError where it cannot be started.
    """
    command = [as_text(entry) for entry in values["command"]]
    env = {name: as_text(value) for name, value in values.get("env", {}).items()}
    stdin = values.get("stdin")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
        given.write(b"" if stdin is None else as_text(stdin).encode(errors="replace"))
        given.seek(0)
        with guarding() as guard:
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=out,
                stderr=err,
                env={**os.environ, "EXECLOG_EXECUTION_ID": context.execution_id, "EXECLOG_STEP": context.id, **env},
                cwd=values.get("cwd"),
                start_new_session=True,
            )
            guard(process.pid)
            code = _wait(process, context)
        context.facts["exitCode"] = code
        context.check()
        if code:
            raise CommandFailedError(f"{_named(code)}: {_tail(err) or _tail(out) or 'it wrote nothing'}")
        return _output(out, context, output)


def _wait(process: subprocess.Popen[bytes], context: StepContext) -> int:
    """The exit code; a step that is not wanted any more ends its command's whole process group."""
    # Stopping is asked for in a thread that must not wait: a timer does the waiting.
    killer = threading.Timer(KILL_GRACE, _kill, (process, signal.SIGKILL))
    killer.daemon = True

    def end() -> None:
        _kill(process, signal.SIGTERM)
        killer.start()

    forget = context.on_stop(end)
    try:
        return process.wait()
    finally:
        forget()
        killer.cancel()
        if context.stop.is_set():
            _kill(process, signal.SIGKILL)  # whatever of its group outlived it


def _kill(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _output(out: IO[bytes], context: StepContext, form: str) -> Any:
    out.seek(0, os.SEEK_END)
    size = out.tell()
    out.seek(0)
    text = out.read(MAX_OUTPUT).decode("utf-8", "replace")
    if form == "json":
        if size > MAX_OUTPUT:
            raise CommandFailedError(f"it wrote {size} bytes; JSON is taken up to {MAX_OUTPUT}")
        try:
            return json.loads(text)
        except ValueError as error:
            raise CommandFailedError(f"its output is not JSON: {error}: {text[:200]!r}") from error
    if size > MAX_OUTPUT:
        context.log(f"it wrote {size} bytes, the first {MAX_OUTPUT} are handed on", "warning")
    return text.removesuffix("\n")


def _tail(stream: IO[bytes]) -> str:
    stream.seek(0, os.SEEK_END)
    stream.seek(max(stream.tell() - TAIL, 0))
    return stream.read().decode("utf-8", "replace").strip()


def _named(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    known = -code in set(signal.valid_signals())
    return f"killed by {signal.Signals(-code).name if known else -code}"
