"""`execlog run`: what it does."""

from __future__ import annotations

import os
import signal
from pathlib import Path, PurePath
from typing import Any

from execlog.cli import exits, units
from execlog.cli.child import Child, Ending, waiting_signals, why_not
from execlog.cli.parser import Options, complain
from execlog.cli.place import settings_of
from execlog.cli.terminal import Terminal
from execlog.core.errors import ExeclogError
from execlog.core.model import Error, Execution, Status
from execlog.ledger import PARENT, Ledger
from execlog.recorder.run import Run

_PATIENCE = 2.0
"""Seconds the record may take to reach the store once the command has ended; after that it waits in the journal."""


def execute(options: Options, terminal: Terminal) -> int:
    """Run the command; its exit code."""
    del terminal  # the command has it
    command = options.behind_dashes if options.behind_dashes is not None else options.command
    if not command:
        options.parser.error("which command? execlog run -- COMMAND ARGUMENT…")
    return run_recorded(command, options)


def run_recorded(command: list[str], options: Options, *, retry_of: Execution | None = None) -> int:
    """The exit code of a command that is run and recorded, in the folder of the execution it is a retry of."""
    if retry_of is not None:
        os.chdir(str((retry_of.params or {}).get("cwd") or "."))
    fields = _fields(command, options)
    if retry_of is not None:
        fields |= {"retry_of": retry_of.id, "root_id": retry_of.root_id or retry_of.id}
    child = Child(command, dict(os.environ), keep=options.keep)
    with waiting_signals():
        ledger = _open(options)
        try:
            if ledger is None:
                return _code(_ending(child, command, options.timeout)[0])
            with ledger.run(options.name or PurePath(command[0]).name, **fields) as run:
                child.environment |= _handed_on(options) | {PARENT: run.id}
                ending, failure = _ending(child, command, options.timeout)
                _conclude(run, child, ending, failure)
                return _code(ending)
        finally:
            if ledger is not None:
                ledger.close(_PATIENCE)


def _open(options: Options) -> Ledger | None:
    """The ledger, or None where recording is not possible: the command is run all the same."""
    try:
        return Ledger.open(settings=settings_of(options))
    except (ExeclogError, OSError) as error:
        complain(f"not recorded: {error}")
        return None


def _handed_on(options: Options) -> dict[str, str]:
    """Where the command's own records go: to the history that this one is in."""
    named = {"EXECLOG_HOME": options.home and str(Path(options.home).absolute()), "EXECLOG_STORE": options.store}
    return {name: text for name, text in named.items() if text}


def _fields(command: list[str], options: Options) -> dict[str, Any]:
    return {
        "kind": options.kind,
        "namespace": options.namespace,
        "subject": options.name or PurePath(command[0]).name,
        "actor": options.actor or _user(),
        "params": {"command": command, "cwd": _folder()},
        "tags": dict(options.tag) or None,
    }


def _folder() -> str | None:
    """The folder it runs in, None where that is gone: the command may not need one."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _ending(child: Child, command: list[str], timeout: float | None) -> tuple[Ending, str]:
    """How the command ended, and why it could not be started where it could not."""
    try:
        return child.run(timeout=timeout), ""
    except OSError as error:
        code, message = why_not(command[0], error)
        complain(message)
        return Ending(code), message


def _conclude(run: Run, child: Child, ending: Ending, failure: str) -> None:
    """Say how it ended."""
    run.output = {"exit_code": ending.code, "bytes": child.tail.total, "tail": child.tail.text()}
    if failure:
        run.fail(Error("NotStarted", failure))
    elif ending.timed_out is not None:
        run.decide(
            Status.TIMED_OUT, Error("TimeoutError", f"it was still running after {units.seconds(ending.timed_out)}")
        )
    elif (stopped := _stopping_signal(ending)) is not None:
        run.cancel(f"stopped with {_signal_name(stopped)}")
    elif ending.signal is not None:
        run.fail(Error("Signal", f"killed by {_signal_name(ending.signal)}"))
    elif ending.code:
        said = child.errors.last_line()
        run.fail(Error("ExitCode", f"exit code {ending.code}" + (f": {said}" if said else "")))


def _stopping_signal(ending: Ending) -> int | None:
    """The signal somebody stopped it with: one handed on by us, or Ctrl-C, which reaches it without us."""
    wished = {*ending.forwarded, signal.SIGINT}
    return next((number for number in wished if ending.code == exits.SIGNALLED + number), None)


def _code(ending: Ending) -> int:
    return ending.code if ending.timed_out is None else exits.TIMED_OUT


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody: a user id without a name, as in many containers
        return f"uid {os.getuid()}"
