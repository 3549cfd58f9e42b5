"""docs/reference/cli.md, out of the parsers: `python -m execlog.cli.reference docs/reference/cli.md` writes it anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from execlog.cli import exits
from execlog.cli.catalogue import GROUPS
from execlog.cli.main import command_parser
from execlog.cli.parser import Parser

_HEAD = """\
# Command line

<!-- Written by `python -m execlog.cli.reference docs/reference/cli.md`; a test compares it with the commands. -->

`execlog COMMAND --help` says the same on a terminal. On a terminal, answers are tables with colours, ages and units, as
wide as the terminal; in a pipe they are one line per entry, with whole values apart by tabs, ISO 8601 times in UTC,
plain numbers, and a first line that names the fields (`--no-header` leaves it out). Commands that read have `--json`,
which prints what the HTTP API gives.

`NO_COLOR`, `--no-color` and `TERM=dumb` switch colours off; `FORCE_COLOR` switches them on in a pipe. `COLUMNS` sets
the width. Recorded text cannot steer the terminal: control characters are printed as escapes.

## Exit codes

| code | meaning |
|---|---|
"""
_EVERYWHERE = frozenset({"--home", "--store", "--no-color", "--table", "--help"})


def reference() -> str:
    """The page."""
    return _HEAD + "\n".join([*_exit_lines(), "", *_everywhere_lines(), *_command_lines()]) + "\n"


def _exit_lines() -> Iterator[str]:
    for code, meaning in exits.MEANINGS.items():
        yield f"| {code} | {meaning} |"
    yield "| 124 | `execlog run`: the command's time was up |"
    yield "| 126, 127 | `execlog run`: the command cannot be run, does not exist |"
    yield "| 128 + n | `execlog run`: signal n killed the command; else the code is the command's own |"


def _everywhere_lines() -> Iterator[str]:
    yield "## Options of every command"
    yield ""
    parser = Parser(prog="execlog")
    from execlog.cli.options import add_everywhere

    add_everywhere(parser)
    yield from _options(parser, leave_out=frozenset({"--help"}))


def _command_lines() -> Iterator[str]:
    for group, entries in GROUPS.items():
        yield f"## {group}"
        yield ""
        for entry in entries:
            yield from _section(f"execlog {entry.name}", command_parser(entry.name), "###")


def _section(name: str, parser: Parser, level: str) -> Iterator[str]:
    positional = [action for action in parser.arguments() if not action.option_strings]
    children = parser.subcommands()
    usage = " ".join([name, *map(_written, positional), *([parser.branching] if children else []), "[options]"])
    yield f"{level} {name}"
    yield ""
    yield f"    {usage}"
    yield ""
    yield parser.description or ""
    yield ""
    if positional:
        yield "| argument | |"
        yield "|---|---|"
        yield from (f"| `{_written(action)}` | {_help(action)} |" for action in positional)
        yield ""
    yield from _options(parser, leave_out=_EVERYWHERE)
    if parser.examples:
        yield "```text"
        yield from parser.examples
        yield "```"
        yield ""
    for child, child_parser in children.items():
        yield from _section(f"{name} {child}", child_parser, level + "#")


def _options(parser: Parser, *, leave_out: frozenset[str]) -> Iterator[str]:
    shown = [
        action for action in parser.arguments() if action.option_strings and not leave_out & set(action.option_strings)
    ]
    if not shown:
        return
    yield "| option | |"
    yield "|---|---|"
    for action in shown:
        value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        yield f"| `{', '.join(action.option_strings)}{value}` | {_help(action)} |"
    yield ""


def _written(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …", "...": f"{name} …"}.get(str(action.nargs), name)


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%").replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
