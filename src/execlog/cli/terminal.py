"""Where answers go: a terminal (colours, width, relative times) or a pipe (whole values, no colours)."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_MAX_WIDTH = 400


class OutputError(OSError):
    """What is answered cannot be written; no file that a command works on is meant."""


class Output:
    """A stream that says of its errors that they are its own: OutputError, and BrokenPipeError as it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """How many characters were written."""
        with _as_own():
            return self._stream.write(text)

    def flush(self) -> None:
        """Let everything written be seen."""
        with _as_own():
            self._stream.flush()


@contextmanager
def _as_own() -> Generator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror) from error


class Terminal:
    """One output stream, and how to write to it."""

    def __init__(self, stream: TextIO, *, interactive: bool, colour: bool, width: int, glyphs: bool) -> None:
        self.stream = stream
        self.interactive = interactive
        self.colour = colour
        self.width = width
        self.glyphs = glyphs

    def paint(self, text: str, style: str = "") -> str:
        """The text in a style such as "red" or "bold red"; as it is where there are no colours."""
        if not (text and style and self.colour):
            return text
        codes = ";".join(_CODES[word] for word in style.split())
        return f"\x1b[{codes}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        """Write a line."""
        self.stream.write(text + "\n")

    def text(self, text: str) -> None:
        """Write a sentence, broken into lines where it is wider than the terminal."""
        import textwrap

        for line in textwrap.wrap(text, self.width, break_long_words=False, break_on_hyphens=False):
            self.line(line)

    def flush(self) -> None:
        """Let everything written be seen. Raises BrokenPipeError when nobody reads any more."""
        self.stream.flush()


def terminal_of(
    stream: TextIO, *, plain: bool = False, table: bool = False, environment: Mapping[str, str] = os.environ
) -> Terminal:
    """How to write to a stream.

    `plain`, NO_COLOR and TERM=dumb switch colours off, FORCE_COLOR switches them on in a pipe too; `table` writes to a
    pipe as to a terminal, without colours.
    """
    interactive = stream.isatty() or table
    colour = stream.isatty() and environment.get("TERM") != "dumb"
    if environment.get("FORCE_COLOR"):
        colour = True
    if plain or environment.get("NO_COLOR"):
        colour = False
    known = stream.isatty() or environment.get("COLUMNS", "").isdigit()
    width = min(shutil.get_terminal_size().columns, _MAX_WIDTH) if known else _MAX_WIDTH
    glyphs = "utf" in (getattr(stream, "encoding", None) or "").lower()
    return Terminal(stream, interactive=interactive, colour=colour, width=width, glyphs=glyphs)


def printable(text: str, *, keep_newlines: bool = False) -> str:
    r"""The text with control characters, and those that turn the writing direction, shown as `\x1b` and the like.

    Recorded text must not steer a terminal.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: _escape(found[0], keep_newlines=keep_newlines), text)


def _escape(character: str, *, keep_newlines: bool) -> str:
    if keep_newlines and character in "\n\t":
        return character
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    code = ord(character)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004 - what two digits hold


def columns_of(text: str) -> int:
    """How many columns of a terminal a text without control characters takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(1 for character in text if unicodedata.east_asian_width(character) in "WF")
    marks = sum(1 for character in text if unicodedata.combining(character) or character == "\u200d")
    return len(text) + wide - marks


def cut(text: str, columns: int, mark: str = "…") -> str:
    """The text, shortened to at most so many columns, with a mark where it was cut."""
    if columns_of(text) <= columns:
        return text
    kept, used = "", columns_of(mark)
    for character in text:
        used += columns_of(character)
        if used > columns:
            break
        kept += character
    return kept.rstrip() + mark
