"""`execlog completion`: what it does."""

from __future__ import annotations

from execlog.cli import exits
from execlog.cli.completion import SHELLS
from execlog.cli.parser import Options
from execlog.cli.terminal import Terminal


def execute(options: Options, terminal: Terminal) -> int:
    """Print the script."""
    terminal.stream.write(SHELLS[options.shell]())
    return exits.OK
