"""The demo's home: made anew each time, never somebody's real one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from execlog.core.errors import ConflictError
from execlog.recorder.lock import holder

_MARK = "this-is-a-demo"


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
