"""`execlog retry`: what it does."""

from __future__ import annotations

from typing import Any, cast

from execlog.cli.actions.run import run_recorded
from execlog.cli.jobs.running import run_job
from execlog.cli.lookup import find_one
from execlog.cli.parser import Options
from execlog.cli.place import check_there, open_ledger
from execlog.cli.terminal import Terminal
from execlog.cli.workflows import ended, engine_here
from execlog.core.errors import InvalidError, UnsupportedError
from execlog.core.model import Execution
from execlog.core.redact import MASK
from execlog.kinds.jobs import SchedulerServingApp
from execlog.kinds.workflows.words import KIND as WORKFLOW
from execlog.ledger import Ledger


def execute(options: Options, terminal: Terminal) -> int:
    """Run it again; 1 where it failed, 6 where it went well in part, or the command's own code."""
    check_there(options)
    with open_ledger(options) as ledger:
        ledger.drain_dead()
        found = find_one(ledger.store, options.id, options)
        if found.kind == "job" and found.subject and _is_scheduled(ledger, found, found.subject):
            return run_job(ledger, found.subject, options, terminal, retry_of=found)
        if found.kind == WORKFLOW and (found.params or {}).get("workflow") is not None:
            return _resume_workflow(ledger, found, options, terminal)
    return _run_command(found, options)


def _is_scheduled(ledger: Ledger, found: Execution, job_id: str) -> bool:
    """Whether the job is, or was, a scheduler's: a program may record executions of a name of its own."""
    if "type" in (found.params or {}):
        return True
    with SchedulerServingApp(ledger) as app:
        return app.desk.knows(job_id)


def _resume_workflow(ledger: Ledger, found: Execution, options: Options, terminal: Terminal) -> int:
    """Its exit code. Only the program that ran it has its tools, and the functions that no module names."""
    engine = engine_here(ledger)
    try:
        done = engine.resume(found.namespace, found.id, triggered_by="retry")
    except InvalidError as error:
        raise UnsupportedError(
            f"{error}; the program that ran it can resume it: "
            f"ExecutionEngine(…).resume({found.namespace!r}, {found.id!r}, workflow)",
            capability="retry",
        ) from error
    return ended(ledger, done.id, found.namespace, options, terminal)


def _run_command(found: Execution, options: Options) -> int:
    params = found.params or {}
    command = cast("list[Any]", params.get("command")) if isinstance(params.get("command"), list) else []
    if not command:
        raise UnsupportedError(
            f"executions of the kind {found.kind!r} that a program recorded cannot be run again from here: run the "
            f"program, which may give the new one retry_of={found.id!r}",
            capability="retry",
        )
    if options.failed_items:
        raise InvalidError("a command has no items: leave --failed-items out")
    words = [str(word) for word in command]
    if any(MASK in word for word in words):
        raise UnsupportedError(
            "its command line held a secret, which was not recorded: run it again by hand", capability="retry"
        )
    again = Options(
        **vars(options) | {"name": found.name, "kind": found.kind, "namespace": found.namespace},
    )
    again.tag, again.actor, again.timeout = list((found.tags or {}).items()), None, None
    return run_recorded(words, again, retry_of=found)
