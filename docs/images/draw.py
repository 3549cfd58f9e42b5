"""Draws docs/images/terminal.svg: what the command line really prints after the demo. `python docs/images/draw.py`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

PICTURE = Path(__file__).with_name("terminal.svg")
COLUMNS = 104
WIDTH, LINE, LEFT, TOP = 8.0, 19, 20, 48
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#a5d6ff"}
PLAIN, BACKGROUND = "#e6edf3", "#0d1117"
_STYLED = re.compile(r"\x1b\[([\d;]*)m")
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<title>The command line after the demo: a list, the failures, one execution</title>
<rect width="100%" height="100%" rx="8" fill="{background}"/>
<circle cx="22" cy="20" r="6" fill="#ff5f56"/><circle cx="42" cy="20" r="6" fill="#ffbd2e"/>
<circle cx="62" cy="20" r="6" fill="#27c93f"/>
<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="13.3"
 fill="{plain}">
"""


def main() -> None:
    """Run the demo in a folder of its own, and draw what three commands say about it."""
    with tempfile.TemporaryDirectory() as folder:
        home = f"{folder}/home"
        run("demo", "--once", "--port", "0", "--home", home)
        partial = run("list", "--status", "partial", "-n", "1", "--no-header", "--home", home).split("\t")[0]
        shown = [("list",), ("failures",), ("show", partial[:13])]
        lines = [line for words in shown for line in said(" ".join(words), home)]
    PICTURE.write_text(draw(lines), encoding="utf-8")


def run(*arguments: str) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "execlog", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def said(line: str, home: str) -> Iterator[str]:
    """The command line, what it prints on a terminal, and a blank."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    command = [sys.executable, "-m", "execlog", *line.split(), "--table", "--home", home]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    yield f"\x1b[32m$\x1b[0m \x1b[1mexeclog {line}\x1b[0m"
    yield from printed.rstrip("\n").split("\n")
    yield ""


def draw(lines: list[str]) -> str:
    """The picture of these lines."""
    height = TOP + LINE * (len(lines) - 1) + 8
    head = _HEAD.format(width=round(2 * LEFT + WIDTH * COLUMNS), height=height, background=BACKGROUND, plain=PLAIN)
    texts = [
        f'<text y="{TOP + LINE * number}" xml:space="preserve">{spans(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return head + "\n".join(texts) + "\n</g>\n</svg>\n"


def spans(line: str) -> str:
    """A line's pieces, each at its column: what the font makes of wide signs moves nothing."""
    pieces, style, column = [], "", 0
    for number, part in enumerate(_STYLED.split(line)):
        if number % 2:
            style = part
        elif part:
            pieces.append(f'<tspan x="{LEFT + WIDTH * column:g}"{attributes(style)}>{escape(part)}</tspan>')
            column += len(part)
    return "".join(pieces)


def attributes(style: str) -> str:
    """The style as attributes."""
    codes = style.split(";")
    colour = next((f' fill="{COLOURS[code]}"' for code in codes if code in COLOURS), "")
    return colour + (' font-weight="bold"' if "1" in codes else "") + (' opacity="0.6"' if "2" in codes else "")


if __name__ == "__main__":
    main()
