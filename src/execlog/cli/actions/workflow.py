"""`execlog workflow`: what it does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from execlog.cli import exits
from execlog.cli.parser import Options
from execlog.cli.place import open_ledger
from execlog.cli.table import Cell, Column, write_table, write_values
from execlog.cli.terminal import Terminal
from execlog.cli.workflows import ended, engine_here, follow
from execlog.core.errors import InvalidError
from execlog.kinds.workflows import read_workflow
from execlog.kinds.workflows.document import schema
from execlog.kinds.workflows.graph import Graph


def execute(options: Options, terminal: Terminal) -> int:
    """Run the subcommand."""
    return _SUBCOMMANDS[options.action](options, terminal)


def _run(options: Options, terminal: Terminal) -> int:
    workflow, given = read_workflow(options.file), _input(options.input)
    with open_ledger(options) as ledger:
        engine = engine_here(ledger)

        running = engine.start(
            workflow, given, project_id=options.project, execution_id=options.id, tags=dict(options.tag) or None,
            triggered_by="manual",
        )  # fmt: skip
        follow(ledger, running, options.project, terminal)
        return ended(ledger, running.id, options.project, options, terminal)


def _input(text: str | None) -> Any:
    """What --input says. Raises InvalidError, OSError."""
    if text is None:
        return None
    raw = Path(text[1:]).read_bytes() if text.startswith("@") else text
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidError(f"--input: not JSON: {error}", field="input") from error


class _Step(Struct):
    """A step as `check` shows it."""

    id: str
    type: str
    needs: tuple[str, ...]


def _check(options: Options, terminal: Terminal) -> int:
    workflow = read_workflow(options.file)
    with open_ledger(options) as ledger:
        graph = engine_here(ledger).check(workflow)
    steps = [_Step(step, _type(graph, step), graph.needs[step]) for step in graph.order]
    if options.json:
        terminal.line(msgspec.json.encode({"name": workflow.name, "steps": steps}).decode())
    elif terminal.interactive:
        write_table(terminal, _COLUMNS, steps)
    else:
        write_values(terminal, _FIELDS, [(step.id, step.type, ",".join(step.needs)) for step in steps])
    return exits.OK


def _type(graph: Graph, step: str) -> str:
    return str(msgspec.to_builtins(graph.steps[step])["type"])


def _schema(options: Options, terminal: Terminal) -> int:
    del options, terminal
    sys.stdout.write(schema().decode())
    return exits.OK


_FIELDS = ("step", "type", "needs")
_COLUMNS: list[Column[_Step]] = [
    Column("STEP", lambda one: Cell(one.id, "bold")),
    Column("TYPE", lambda one: Cell(one.type)),
    Column("NEEDS", lambda one: Cell(", ".join(one.needs))),
]
_SUBCOMMANDS = {"run": _run, "check": _check, "schema": _schema}
