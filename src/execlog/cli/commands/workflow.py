"""`execlog workflow`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_tag, add_json
from execlog.cli.parser import Parser

DESCRIPTION = (
    "A workflow is a graph of steps in a file: commands, functions of modules in this folder, and model calls at the "
    "endpoints of execlog.toml. It may run commands and import code: run only what you would run yourself."
)
EXAMPLES = (
    "execlog workflow check nightly.yaml",
    """execlog workflow run nightly.yaml --project weather --input '{"city": "Ulm"}'""",
    "execlog workflow schema > workflow.schema.json        # for an editor",
)


def configure(parser: Parser) -> None:
    """Declare the subcommands and their arguments."""
    commands = parser.add_subparsers(dest="action", metavar="COMMAND", required=True, title="commands")
    for name, summary in (
        ("run", "run a workflow here, and say how it went; Ctrl-C cancels it"),
        ("check", "say whether a workflow can run here, and what it would run"),
        ("schema", "print the JSON Schema of workflows"),
    ):
        child = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == "schema":
            continue
        child.add_argument("file", metavar="FILE", help="JSON, or YAML where its name ends in .yaml or .yml")
        if name == "run":
            child.add_argument("--input", metavar="JSON", help="what it works on: JSON, or @FILE with JSON in it")
            child.add_argument("--project", metavar="NAME", default="default", help="keep it under this project")
            child.add_argument("--id", metavar="ID", help="the id of the execution (default: a new one)")
            child.add_argument(
                "--tag", metavar="K=V", type=a_tag, action="append", default=[], help="label it; may be repeated"
            )
        add_json(child, "print the execution" if name == "run" else "print the steps in the order they could run")
