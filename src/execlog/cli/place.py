"""Where the history is: opens the ledger, or only the store, that the options and the environment name."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from execlog.cli.parser import Options, complain
from execlog.core.clock import SystemClock
from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.core.settings import Settings, load

if TYPE_CHECKING:
    from execlog.ledger import Ledger
    from execlog.store.base import Store

_SLICE = 500


def settings_of(options: Options) -> Settings:
    """The settings in force. Raises SettingsError."""
    return load(home=options.home, store=options.store)


@contextmanager
def open_ledger(options: Options) -> Generator[Ledger]:
    """The ledger, for commands that record or change something. Raises StoreError where the store cannot be opened."""
    from execlog.ledger import Ledger

    ledger = Ledger.open(settings=settings_of(options))
    try:
        yield ledger
    finally:
        ledger.close()


def check_there(options: Options) -> None:
    """Nothing, unless there is no history where --home or --store says; raises StoreError for that.

    A mistyped place is not to be made, and not to be taken for one where nothing happened yet.
    """
    from execlog.ledger import Ledger
    from execlog.store.places import path_of

    if options.home is None and options.store is None:
        return
    settings = settings_of(options)
    place = path_of(settings.store_url)
    if place is None or place.exists() or not settings.migrate:  # without migrations nothing is made in any case
        return
    with Ledger.open(settings=settings) as ledger:
        waits = ledger.root.is_dir()
    if not waits:
        raise StoreError(f"no history at {place}; recording makes one: execlog run -- echo hello", retry=False)


@contextmanager
def open_store(options: Options) -> Generator[Store]:
    """The store that is there, with what dead processes left in their journals taken in.

    Of one with nothing in it, standard error says which it is: EXECLOG_HOME may be mistyped.
    Raises StoreError where there is none, and where it is not usable.
    """
    check_there(options)
    with open_ledger(options) as ledger:
        ledger.drain_dead()
        _say_if_empty(ledger)
        yield ledger.store


def _say_if_empty(ledger: Ledger) -> None:
    from execlog.core.redact import Redactor
    from execlog.store.places import path_of

    if ledger.store.find(Filter(), limit=1).entries:
        return
    url = ledger.settings.store_url
    place: Any = path_of(url) or Redactor(ledger.settings.redact).value(url)
    complain(f"nothing is recorded in {place}")


def hand_on(ledger: Ledger) -> None:
    """Make the ledger the default of this process, and of the commands and workers that it starts from now on.

    Jobs may name functions in modules of the folder that this process was started in, as `python -m` allows by itself.
    The tokens of a server are not handed on: what a command prints of its environment is recorded.
    """
    import execlog

    with suppress(FileNotFoundError):  # a folder that is gone has no modules
        sys.path.append(str(Path.cwd()))
    execlog.configure(ledger)
    os.environ.pop("EXECLOG_TOKENS", None)
    os.environ["EXECLOG_HOME"] = str(ledger.settings.home)
    if ledger.settings.store:
        scheme, mark, path = ledger.settings.store.partition(":///")
        # A command may run in another folder.
        here = str(Path(path).absolute()) if scheme in {"sqlite", "files"} else path
        os.environ["EXECLOG_STORE"] = scheme + mark + here


def now() -> int:
    """UTC µs."""
    return SystemClock().now()
