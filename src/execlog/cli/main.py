"""`execlog`: finds the command, loads its module, runs it, and turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO, cast

from execlog.cli import exits
from execlog.cli.catalogue import ENTRIES, GROUPS
from execlog.cli.parser import Options, Parser, complain, did_you_mean

if TYPE_CHECKING:
    from execlog.core.errors import ExeclogError

_TAKES_COMMAND = frozenset({"run", "jobs"})
"""Commands with a command line of their own behind `--`."""
_WITH_VALUE = frozenset({"--home", "--store"})


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of a command line (without the program's name; default: that of this process)."""
    _open_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _end_output(_dispatched(arguments))
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def _dispatched(arguments: list[str]) -> int:
    """The exit code of a command line, also where nobody reads to its end, as behind `head`: that is no failure."""
    try:
        return dispatch(arguments)
    except BrokenPipeError:
        return exits.OK
    except OSError as error:  # an OutputError, or of help and the like
        return _complain_of_output(error)
    except SystemExit as stop:  # argparse's: help, and complaints
        return stop.code if isinstance(stop.code, int) else exits.OK


def dispatch(arguments: list[str]) -> int:
    """The exit code of a command line; lets BrokenPipeError, KeyboardInterrupt and SystemExit through."""
    before, name, after = _split(arguments)
    if name in {None, "help"} and (not after or after[0].startswith("-")):
        if name is None and set(before) & {"--version", "-V"}:
            return _print_version()
        print(overview())
        return exits.OK
    if name == "help":
        name, after = after[0], ["--help"]
    if name not in ENTRIES:
        print(
            f"execlog: unknown command {name!r}{did_you_mean(str(name), ENTRIES)}\nTry 'execlog --help'.",
            file=sys.stderr,
        )
        return exits.USAGE
    return _execute(str(name), [*before, *after])


def command_parser(name: str) -> Parser:
    """The parser of one command."""
    from execlog.cli.options import add_everywhere

    module: Any = import_module(f"execlog.cli.commands.{name}")
    parser = Parser(prog=f"execlog {name}", description=module.DESCRIPTION, examples=module.EXAMPLES)
    module.configure(parser)
    add_everywhere(parser)
    return parser


def overview() -> str:
    """What `execlog --help` prints."""
    lines = ["usage: execlog COMMAND [options]", "", "The history of what ran, what failed and why.", ""]
    for group, entries in GROUPS.items():
        lines += [f"{group}:", *(f"  {entry.name:<13}{entry.summary}" for entry in entries), ""]
    lines += [
        "Everywhere:",
        "  --home DIR   folder of the history (default: EXECLOG_HOME, or the user's data folder)",
        "  --store URL  store to use (default: EXECLOG_STORE, or SQLite in the home)",
        "  --no-color   no colours (as does NO_COLOR)",
        "  --table      in a pipe: print what a terminal would show",
        "  --help       what a command does, its options and examples",
        "  --version    print the version",
    ]
    return "\n".join(lines)


def _execute(name: str, arguments: list[str]) -> int:
    from execlog.cli.terminal import Output, OutputError, terminal_of

    command: list[str] | None = None
    if name in _TAKES_COMMAND and "--" in arguments:
        place = arguments.index("--")
        arguments, command = arguments[:place], arguments[place + 1 :]
    parser = command_parser(name)
    options = parser.parse(arguments, Options(parser=parser, behind_dashes=command))
    _never_fail_to_encode()
    try:
        action: Any = import_module(f"execlog.cli.actions.{name}")
        output = cast("TextIO", Output(sys.stdout))
        return action.execute(options, terminal_of(output, plain=options.no_color, table=options.table))
    except (BrokenPipeError, OutputError):
        raise
    except Exception as error:
        from execlog.core.errors import ExeclogError

        if not isinstance(error, ExeclogError | OSError):
            raise
        complain(_said(error))
        return exits.code_of(error)


def _said(error: ExeclogError | OSError) -> str:
    """What went wrong; of the system's errors what they are about, without their number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """The options before the command, the command, and what follows."""
    position = 0
    while position < len(arguments) and arguments[position].startswith("-") and arguments[position] != "--":
        position += 2 if arguments[position] in _WITH_VALUE else 1
    if position >= len(arguments):
        return arguments, None, []
    return arguments[:position], arguments[position], arguments[position + 1 :]


def _print_version() -> int:
    from execlog import __version__

    print(f"execlog {__version__}")
    return exits.OK


def _never_fail_to_encode() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _open_streams() -> None:
    """Open what was closed by whoever called, to nowhere: the next file, the store say, would be written to instead."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _end_output(code: int) -> int:
    """The code, once everything is written; 1 where it cannot be, though not where nobody reads any more."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes at its exit: let it flush into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == exits.OK and not isinstance(error, BrokenPipeError):
            return _complain_of_output(error)
    return code


def _complain_of_output(error: OSError) -> int:
    complain(f"cannot write to standard output: {error.strerror}")
    return exits.FAILED


if __name__ == "__main__":
    sys.exit(main())
