"""Running a workflow from here: in this process, in this folder, with the endpoints of execlog.toml."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

from execlog.cli.executions import status_cell
from execlog.cli.outcome import exit_code, write_outcome
from execlog.cli.parser import Options
from execlog.cli.place import hand_on
from execlog.cli.terminal import Terminal, printable
from execlog.core.clock import span
from execlog.core.errors import NotFoundError, StoreError
from execlog.core.model import OPEN, Execution
from execlog.history.reason import reason
from execlog.kinds.workflows import ExecutionEngine, endpoints_of
from execlog.kinds.workflows.running import RunningExecution
from execlog.kinds.workflows.words import KIND
from execlog.ledger import Ledger

_LOOK_SECONDS = 0.25


def engine_here(ledger: Ledger) -> ExecutionEngine:
    """An engine whose steps may call functions of modules in this folder. Raises InvalidError for a wrong endpoint."""
    hand_on(ledger)
    return ExecutionEngine(ledger, endpoints=endpoints_of(ledger.settings.home))


def follow(ledger: Ledger, running: RunningExecution, project: str, terminal: Terminal) -> None:
    """Wait for its end; on a terminal, say of each step on standard error how it went. What interrupts, cancels it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    said = set[str]()
    try:
        over = False
        while not over:
            with suppress(TimeoutError):
                running.wait(_LOOK_SECONDS)
            over = running.done()
            if sys.stderr.isatty() and ledger.flush(_LOOK_SECONDS):
                _tell(ledger, running.id, project, said, terminal)
    except KeyboardInterrupt:
        running.cancel("interrupted")
        running.wait()
        ledger.flush()
        raise


def ended(ledger: Ledger, id_: str, project: str, options: Options, terminal: Terminal) -> int:
    """The exit code of an execution that is over, once it is written. Raises StoreError, NotFoundError."""
    if not ledger.flush():
        raise StoreError(f"execution {id_} is over; it waits in the journal until the store takes it", retry=True)
    found = _found(ledger, id_, project)
    if found is None:
        raise NotFoundError(f"execution {id_} was deleted while it ran")
    with suppress(BrokenPipeError):  # who reads no further is told how it went all the same
        write_outcome(found, options, terminal)
    return exit_code([found.status])


def _tell(ledger: Ledger, id_: str, project: str, said: set[str], terminal: Terminal) -> None:
    with suppress(StoreError):
        found = _found(ledger, id_, project)
        for item in found.items if found is not None else ():
            if item.status in OPEN or item.key in said:
                continue
            said.add(item.key)
            took = "" if item.duration is None else f" {span(item.duration)}"
            why = "" if item.error is None else f"  {printable(reason(item.error))}"
            status = status_cell(item.status, terminal).text
            print(f"{status} {printable(item.key)}{took}{why}", file=sys.stderr, flush=True)


def _found(ledger: Ledger, id_: str, project: str) -> Execution | None:
    return ledger.store.get(id_, kind=KIND, namespace=project)
