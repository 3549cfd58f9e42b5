"""`execlog serve`: what it does."""

from __future__ import annotations

import logging

from execlog import __version__
from execlog.cli import exits
from execlog.cli.families import open_families
from execlog.cli.parser import Options
from execlog.cli.place import hand_on
from execlog.cli.terminal import Terminal
from execlog.core.errors import SettingsError
from execlog.core.settings import Settings, load
from execlog.ledger import Ledger
from execlog.web.server import serve

_log = logging.getLogger("execlog")


def execute(options: Options, terminal: Terminal) -> int:
    """Serve until told to stop."""
    _begin_log()
    settings = load(home=options.home, store=options.store, host=options.host, port=options.port)

    def announce(url: str) -> None:
        terminal.line(url)
        if terminal.interactive:
            terminal.line(terminal.paint(f"home {settings.home}, store {ledger.store.url}; Ctrl-C stops it", "dim"))
        else:
            _log.info("execlog %s serves %s, store %s, at %s", __version__, settings.home, ledger.store.url, url)
        terminal.flush()

    with _opened(settings) as ledger:
        hand_on(ledger)
        ledger.store.changes(-1)  # whether it is there: that costs the same, however long the history is
        with open_families(ledger, schedule=not options.no_scheduler) as (kinds, _):
            serve(ledger, kinds, settings, announce=announce)
            if not terminal.interactive:
                _log.info("execlog stops")
    return exits.OK


def _begin_log() -> None:
    """Log to standard error, with times; of other packages no more than warnings, since their talk may have secrets."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z")
    _log.setLevel(logging.INFO)


def _opened(settings: Settings) -> Ledger:
    """The ledger, emptying every journal of the home. Raises SettingsError for a home that cannot be written to."""
    try:
        return Ledger.open(settings=settings, drains_home=True)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise SettingsError(
            f"the home {settings.home} cannot be written to ({reason}); --home or EXECLOG_HOME names another"
        ) from error
