"""`execlog completion`: what it takes."""

from __future__ import annotations

from execlog.cli.parser import Parser

DESCRIPTION = "Print what makes a shell complete commands, options, statuses and ids."
EXAMPLES = (
    "source <(execlog completion bash)       # in ~/.bashrc",
    "source <(execlog completion zsh)        # in ~/.zshrc, after compinit",
    "execlog completion fish > ~/.config/fish/completions/execlog.fish",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=("bash", "fish", "zsh"), metavar="SHELL", help="bash, zsh or fish")
