"""Where a store is that is a file or a folder, and whether it is there: opening one makes it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from execlog.core.errors import SettingsError

_WRITE = {
    "sqlite": "file: write sqlite:///relative.db or sqlite:////absolute.db",
    "files": "folder: write files:///relative/folder or files:////absolute/folder",
}
_FOLDERS = (".execlog", "projects", "kinds")
"""A folder is a store of files if it has one of these."""


def path_of(url: str) -> Path | None:
    """The absolute path of a store that is a file or a folder, None for the others. Raises SettingsError."""
    scheme = urlsplit(url).scheme
    if scheme not in _WRITE:
        return None
    path = unquote(url.removeprefix(f"{scheme}:///"))
    if not path or not url.startswith(f"{scheme}:///"):
        raise SettingsError(f"{url} names no {_WRITE[scheme]}")
    return Path(path).absolute()


def is_there(url: str) -> bool:
    """Whether there is a store at this URL, as far as its files tell; true of every server. Raises SettingsError."""
    path = path_of(url)
    if path is None:
        return True
    return path.is_file() if urlsplit(url).scheme == "sqlite" else any((path / name).is_dir() for name in _FOLDERS)
