"""Where files are, and how they are written so that nobody ever sees half of one.

projects/{projectId}/executions/{executionId}.json           workflows: their clients' layout to the letter
kinds/{kind}/{namespace or _}/executions/{executionId}.json  the other kinds, in the same scheme
.execlog/index.db                                            the index; it can be made anew from the files

A name that no file system takes is "~" and a hash of it, and so is one that would lead elsewhere (empty, ".", "..", a
project with "/" in it) or stands for something else here ("_" as a namespace, or such a hash): no two executions share
a file. What is meant is in the record.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2s
from pathlib import Path
from urllib.parse import quote, unquote

from execlog.core.errors import StoreError
from execlog.core.ids import check_id, is_fit
from execlog.core.model import Key
from execlog.store.durability import sync_folder

WORKFLOW = "workflow"
NO_NAMESPACE = "_"
FOLDER = "executions"
SUFFIX = ".json"
_LONGEST_NAME = 240
_HASH = re.compile("~[0-9a-f]{32}")


def path_of(root: Path, key: Key) -> Path:
    """The file of an execution. Raises InvalidError for an id that would lead out of its folder."""
    return folder_of(root, key.kind, key.namespace) / name_of(key.id)


def name_of(id_: str) -> str:
    """The name of an execution's file in its folder. Raises InvalidError for an id that would lead out of it."""
    return (_hash(id_) if check_id(id_).startswith(".") else _short(id_, _LONGEST_NAME - len(SUFFIX))) + SUFFIX


def folder_of(root: Path, kind: str, namespace: str) -> Path:
    """The folder of the executions of a kind in a namespace."""
    if kind == WORKFLOW and namespace:
        return root / "projects" / (_short(namespace) if is_fit(namespace) else _hash(namespace)) / FOLDER
    space = NO_NAMESPACE if not namespace else _hash(namespace) if namespace == NO_NAMESPACE else _quoted(namespace)
    return root / "kinds" / _quoted(kind) / space / FOLDER


def folders(root: Path) -> Iterator[Path]:
    """Every folder of executions."""
    yield from sorted(root.glob(f"projects/*/{FOLDER}"))
    yield from sorted(root.glob(f"kinds/*/*/{FOLDER}"))


def place_of(root: Path, folder: Path) -> tuple[str, str] | None:
    """The kind and the namespace whose folder this is; None where its name does not tell."""
    kind, space = kind_of(root, folder), folder.parent.name
    namespace = space if _is_project(root, folder) else "" if space == NO_NAMESPACE else unquote(space)
    return (kind, namespace) if folder_of(root, kind, namespace) == folder else None


def kind_of(root: Path, folder: Path) -> str:
    """The kind whose folder this is; where that is a hash, what no kind is called."""
    return WORKFLOW if _is_project(root, folder) else unquote(folder.parent.parent.name)


def files_in(folder: Path) -> list[str]:
    """The names of the files of executions in a folder; none where it is not there.

    Raises StoreError where that cannot be seen: none must not be taken for all removed.
    """
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in found if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{folder}: {error}", retry=True) from error


def time_of(path: Path) -> int:
    """When it was last changed (ns); 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def changed_at(path: Path) -> int:
    """When a file last came to be what it is (ns), also by a rename; 0 where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return max(found.st_mtime_ns, found.st_ctime_ns)


def write_all(contents: Iterable[tuple[Path, bytes | None]]) -> None:
    """Each file whole and durable: written beside, fsynced, renamed, its folder fsynced; None removes one."""
    touched: set[Path] = set()
    for path, content in contents:
        if content is None:
            path.unlink(missing_ok=True)
        else:
            _make_folder(path.parent)
            _replace(path, content)
        touched.add(path.parent)
    for folder in touched:
        if folder.is_dir():
            sync_folder(folder)


def _is_project(root: Path, folder: Path) -> bool:
    return folder.parent.parent == root / "projects"


def _quoted(name: str) -> str:
    return _hash(name) if name in {"", ".", ".."} else _short(quote(name, safe=""))


def _short(name: str, most: int = _LONGEST_NAME) -> str:
    return name if len(name.encode()) <= most and not _HASH.fullmatch(name) else _hash(name)


def is_same(fd: int, path: Path) -> bool:
    """Whether what is open is still the file at this path."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def has_content(path: Path, content: bytes | None) -> bool:
    """Whether the file at this path can be read and has this in it."""
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _hash(name: str) -> str:
    return f"~{blake2s(name.encode(), digest_size=16).hexdigest()}"


def _make_folder(folder: Path) -> None:
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{os.getpid()}.{time.monotonic_ns()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    temporary.replace(path)
