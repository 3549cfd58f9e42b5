"""`execlog completion`."""

from __future__ import annotations

from execlog.cli import exits
from execlog.cli.completion import SHELLS
from execlog.cli.parser import Options, Parser
from execlog.cli.terminal import Terminal

DESCRIPTION = "Print what makes a shell complete commands, options, statuses and ids."
EXAMPLES = (
    "source <(execlog completion bash)       # in ~/.bashrc",
    "source <(execlog completion zsh)        # in ~/.zshrc, after compinit",
    "execlog completion fish > ~/.config/fish/completions/execlog.fish",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=sorted(SHELLS), metavar="SHELL", help="bash, zsh or fish")


def execute(options: Options, terminal: Terminal) -> int:
    """Print the script."""
    terminal.stream.write(SHELLS[options.shell]())
    return exits.OK
