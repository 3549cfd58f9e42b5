"""`execlog serve`: what it does."""

from __future__ import annotations

from execlog.cli import exits
from execlog.cli.families import open_families
from execlog.cli.parser import Options
from execlog.cli.place import hand_on
from execlog.cli.terminal import Terminal
from execlog.core.errors import SettingsError
from execlog.core.settings import Settings, load
from execlog.ledger import Ledger
from execlog.web.server import serve


def execute(options: Options, terminal: Terminal) -> int:
    """Serve until told to stop."""
    settings = load(home=options.home, store=options.store, host=options.host, port=options.port)

    def announce(url: str) -> None:
        terminal.line(url)
        if terminal.interactive:
            terminal.line(terminal.paint(f"home {settings.home}, store {ledger.store.url}; Ctrl-C stops it", "dim"))
        terminal.flush()

    with _opened(settings) as ledger:
        hand_on(ledger)
        ledger.store.changes(-1)  # whether it is there: that costs the same, however long the history is
        with open_families(ledger, schedule=not options.no_scheduler) as (kinds, _):
            serve(ledger, kinds, settings, announce=announce)
    return exits.OK


def _opened(settings: Settings) -> Ledger:
    """The ledger, emptying every journal of the home. Raises SettingsError for a home that cannot be written to."""
    try:
        return Ledger.open(settings=settings, drains_home=True)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise SettingsError(
            f"the home {settings.home} cannot be written to ({reason}); --home or EXECLOG_HOME names another"
        ) from error
