"""Where files are, and how they are written so that nobody ever sees half of one.

projects/{projectId}/executions/{executionId}.json           workflows: their clients' layout to the letter
kinds/{kind}/{namespace or _}/executions/{executionId}.json  the other kinds, in the same scheme
.execlog/index.db                                            the index; it can be made anew from the files
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2s
from pathlib import Path
from urllib.parse import quote, unquote

from execlog.core.errors import InvalidError
from execlog.core.ids import check_id
from execlog.core.model import Key

WORKFLOW = "workflow"
NO_NAMESPACE = "_"
FOLDER = "executions"
SUFFIX = ".json"
_LONGEST_NAME = 240


def path_of(root: Path, key: Key) -> Path:
    """The file of an execution. Raises InvalidError for a name that would lead out of its folder."""
    check_id(key.id)
    if key.kind == WORKFLOW and key.namespace:
        return root / "projects" / check_id(key.namespace, field="namespace") / FOLDER / _file_name(key.id)
    namespace = quote(key.namespace, safe="") or NO_NAMESPACE
    if namespace in {".", ".."} or key.kind in {"", ".", ".."}:
        raise InvalidError(f"kind {key.kind!r:.60} and namespace {key.namespace!r:.60} make no folder", field="kind")
    return root / "kinds" / quote(key.kind, safe="") / namespace / FOLDER / _file_name(key.id)


def folders(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Every folder of executions, with its kind and namespace."""
    for folder in sorted(root.glob(f"projects/*/{FOLDER}")):
        yield WORKFLOW, folder.parent.name, folder
    for folder in sorted(root.glob(f"kinds/*/*/{FOLDER}")):
        namespace = folder.parent.name
        yield unquote(folder.parent.parent.name), "" if namespace == NO_NAMESPACE else unquote(namespace), folder


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
            _sync(folder)


def _file_name(id_: str) -> str:
    name = id_ + SUFFIX
    if len(name.encode()) <= _LONGEST_NAME and not name.startswith("."):
        return name
    return f"~{blake2s(id_.encode(), digest_size=16).hexdigest()}{SUFFIX}"  # what no file system takes as it is


def _make_folder(folder: Path) -> None:
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        _sync(each.parent)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.{time.monotonic_ns()}.tmp")
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


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
