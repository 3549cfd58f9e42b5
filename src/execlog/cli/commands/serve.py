"""`execlog serve`."""

from __future__ import annotations

from execlog.cli import exits
from execlog.cli.parser import Options, Parser
from execlog.cli.terminal import Terminal

DESCRIPTION = (
    "Serve the API, the pages and the jobs of a home until SIGTERM or Ctrl-C. Prints the URL once it answers. It also "
    "empties the journals of every process of the home, and within two seconds calls crashed what dead ones left open. "
    "It listens on loopback; on any other address only with tokens configured."
)
EXAMPLES = (
    "execlog serve",
    "execlog serve --port 0 --home ./history",
    "execlog serve --no-scheduler",
)


def configure(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("--host", metavar="ADDRESS", help="where to listen (default: EXECLOG_HOST, or 127.0.0.1)")
    parser.add_argument("--port", metavar="PORT", type=int, help="default: EXECLOG_PORT, or 8321; 0 takes a free one")
    parser.add_argument("--no-scheduler", action="store_true", help="do not run due jobs here")


def execute(options: Options, terminal: Terminal) -> int:
    """Serve until told to stop."""
    from execlog.cli.families import open_families
    from execlog.core.settings import load
    from execlog.ledger import Ledger
    from execlog.web.server import serve

    settings = load(home=options.home, store=options.store, host=options.host, port=options.port)

    def announce(url: str) -> None:
        terminal.line(url)
        if terminal.interactive:
            terminal.line(terminal.paint(f"home {settings.home}, store {ledger.store.url}; Ctrl-C stops it", "dim"))
        terminal.flush()

    with Ledger.open(settings=settings, drains_home=True) as ledger:
        ledger.store.check()
        with open_families(ledger, schedule=not options.no_scheduler) as (kinds, _):
            serve(ledger, kinds, settings, announce=announce)
    return exits.OK
