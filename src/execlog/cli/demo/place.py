"""The demo's home: made anew each time, never somebody's real one."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from execlog.core.errors import ConflictError
from execlog.core.filter import Filter
from execlog.recorder.lock import holder
from execlog.store.base import Store
from execlog.store.job_opening import open_jobs

_MARK = "this-is-a-demo"


class Place(NamedTuple):
    """Where the demo's history is; `store` only where a command would not find it by the home alone."""

    home: Path
    store: str | None


def check_empty(store: Store, home: Path) -> None:
    """Nothing, for a store in which nothing is. Raises ConflictError: the demo leaves jobs there."""
    with closing(open_jobs(store, home)) as jobs:
        filled = jobs.list(limit=1).entries or store.find(Filter(), limit=1).entries
    if filled:
        raise ConflictError(f"there is something in {store.url} already: a demo needs an empty store")


def fresh_home(given: str | None) -> Path:
    """An empty folder for the demo: the one given, or `$EXECLOG_HOME-demo`, or `.execlog-demo` here.

    What a demo before left in it is removed. Raises ConflictError for a folder with anything else in it, and while
    another demo runs there.
    """
    home = Path(given or _default()).expanduser().absolute()
    if home.exists() and any(home.iterdir()):
        if not (home / _MARK).exists():
            raise ConflictError(f"{home} is not a demo's: choose another folder with --home")
        running = [pid for lock in home.glob("journal/*/server.lock") if (pid := holder(lock)) is not None]
        if running:
            raise ConflictError(f"a demo is running in {home} (process {running[0]}): stop it, or use --home")
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / _MARK).touch()
    return home


def _default() -> str:
    real = os.environ.get("EXECLOG_HOME")
    return f"{real.rstrip('/')}-demo" if real else ".execlog-demo"
