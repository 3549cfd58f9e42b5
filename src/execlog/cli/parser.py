"""Command lines to options: an argparse parser that says what to do when something is wrong."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, cast

from execlog.cli import exits

Options = argparse.Namespace


class Parser(argparse.ArgumentParser):
    """The parser of one command; `examples` are shown below its help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        settings.setdefault("formatter_class", Help)
        settings.setdefault("allow_abbrev", False)
        super().__init__(*args, **settings)
        # What begins with a minus and a digit is a value, and its option says what is wrong with it: --since -5m.
        self._negative_number_matcher = re.compile(r"-\.?\d")
        self.examples = tuple(examples)
        self.words: dict[str, tuple[str, ...]] = {}
        if examples:
            self.epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples)

    def error(self, message: str) -> NoReturn:
        """Never returns: says what is wrong and where to read on, and ends the program."""
        self.exit(exits.USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")

    def print_help(self, file: Any = None) -> None:
        """Write the help. Raises OSError where it cannot be written, of which argparse says nothing."""
        (file or sys.stdout).write(self.format_help())

    def parse(self, arguments: Sequence[str], options: Options) -> Options:
        """The options with these arguments taken in; an unknown one ends the program, naming the nearest known one."""
        options, unknown = self.parse_known_args(arguments, options)
        if not unknown:
            return options
        first = unknown[0].split("=", 1)[0]
        if first.startswith("-"):
            self.error(f"unknown option {first}{did_you_mean(first, self.option_names())}")
        return self.error(f"one argument too many: {first!r}")

    def option_names(self) -> list[str]:
        """Every option of this command and of its subcommands."""
        names = list(self._option_string_actions)
        for child in self.subcommands().values():
            names += child.option_names()
        return names

    def suggest(self, option: str, words: Sequence[str]) -> None:
        """Note the words an option may take, for the shells' completion."""
        self.words[option] = tuple(words)

    def arguments(self) -> list[argparse.Action]:
        """Its positional arguments and options, in the order they were declared, without subcommands."""
        return [action for action in self._actions if not _branches(action)]

    @property
    def branching(self) -> str:
        """How its usage shows the subcommand: in brackets where there need be none; "" for a plain command."""
        found = next((action for action in self._actions if _branches(action)), None)
        return "" if found is None else str(found.metavar) if found.required else f"[{found.metavar}]"

    def subcommands(self) -> dict[str, Parser]:
        """Its subcommands by name; {} for a plain command."""
        branching = [action for action in self._actions if _branches(action)]
        return cast("dict[str, Parser]", branching[0].choices) if branching else {}


class Help(argparse.RawDescriptionHelpFormatter):
    """Help with room for long options, at most 100 columns wide."""

    def __init__(self, prog: str) -> None:
        import shutil

        super().__init__(prog, max_help_position=30, width=min(shutil.get_terminal_size().columns, 100))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """A description broken into lines; the examples stay as they are."""
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)  # noqa: SLF001 - argparse has no public name for it


def _branches(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)  # noqa: SLF001 - as below  # pyright: ignore[reportPrivateUsage] - argparse has no public name for it


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to add to a complaint about an unknown word: "; did you mean X?" for the nearest known one, or nothing."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    from execlog.cli.terminal import printable

    print(f"execlog: {printable(message, keep_newlines=True)}", file=sys.stderr)
