"""`execlog serve`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_port
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Serve the API, the pages and the jobs of a home until SIGTERM, SIGHUP or Ctrl-C. Prints the URL once it answers. "
    "It also empties the journals of every process of the home, and within two seconds calls crashed what dead ones "
    "left open, and sends the alerts of execlog.toml. It listens on loopback; on any other address only with tokens "
    "configured."
)
EXAMPLES = (
    "execlog serve",
    "execlog serve --port 0 --home ./history",
    "execlog serve --no-scheduler",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("--host", metavar="ADDRESS", help="where to listen (default: EXECLOG_HOST, or 127.0.0.1)")
    parser.add_argument(
        "--port", metavar="PORT", type=a_port, help="default: EXECLOG_PORT, or 8321; 0 takes a free one"
    )
    parser.add_argument("--no-scheduler", action="store_true", help="do not run due jobs here")
