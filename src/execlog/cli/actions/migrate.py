"""`execlog migrate`: what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from execlog.cli import exits
from execlog.cli.parser import Options
from execlog.cli.place import settings_of
from execlog.cli.terminal import Terminal

if TYPE_CHECKING:
    from execlog.store.migrating import Migrated


def execute(options: Options, terminal: Terminal) -> int:
    """Migrate, or look, and print the versions before and after."""
    from execlog.store.migrating import foresee, migrate

    settings = settings_of(options)
    done = foresee(settings.store_url) if options.check else migrate(settings.store_url, settings)
    if options.json:
        terminal.line(msgspec.json.encode({**msgspec.structs.asdict(done), "changed": done.changed}).decode())
    else:
        terminal.line(f"{done.url}: {_said(done, check=options.check)}")
    return exits.FAILED if options.check and done.changed else exits.OK


def _said(done: Migrated, *, check: bool) -> str:
    if done.before is None:
        return "has no schema"
    if not done.changed:
        return f"schema {done.before}, nothing to do"
    return f"schema {done.before}, to become {done.after}" if check else f"schema {done.before} → {done.after}"
