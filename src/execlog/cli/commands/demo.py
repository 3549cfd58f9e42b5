"""`execlog demo`: what it takes."""

from __future__ import annotations

from execlog.cli.options import a_port
from execlog.cli.parser import Parser

DESCRIPTION = (
    "Run real jobs over real prices: five stocks, month by month, backfilled from 2000 to 2010 through HTTP from a "
    "feed on this machine; then features, a workflow (its model is a stand-in) and SQL over the same prices. Their "
    "history is on a local server, where a job goes on ticking every few seconds, until Ctrl-C. "
    "Its home is ./.execlog-demo (or $EXECLOG_HOME-demo), made anew each time."
)
EXAMPLES = ("execlog demo", "execlog demo --once", "execlog demo --port 0 --home ./try")


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("--once", action="store_true", help="end after the summary")
    parser.add_argument("--port", metavar="PORT", type=a_port, help="where to serve (default: 8321, or a free one)")
