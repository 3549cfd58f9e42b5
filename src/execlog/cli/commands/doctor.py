"""`execlog doctor`: what it takes."""

from __future__ import annotations

from execlog.cli.options import add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Check what execlog stands on: the installation, the settings, the home and its journals, and the store. "
    "Changes nothing. What is wrong comes with what to do."
)
EXAMPLES = (
    "execlog doctor",
    "execlog doctor --json | jq '.findings[] | select(.state != \"ok\")'",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    add_json(parser, 'print {"ok": …, "findings": [{check, state, text, advice}]}')
