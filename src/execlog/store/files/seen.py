"""When each folder was last changed as the index knows it: a note for each, which all processes share."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2s
from pathlib import Path

UNSEEN = -1


class Seen:
    """Folders whose time is as noted hold what the index knows. Who asks or notes is alone with the folders."""

    def __init__(self, root: Path, place: Path, known: Iterable[Path]) -> None:
        """The notes are files in `place`; the index has something in the folders `known` of `root`, there or not."""
        self._root, self._place = root, place
        self._place.mkdir(exist_ok=True)
        self._last = dict.fromkeys(known, UNSEEN)

    def folders(self) -> Iterable[Path]:
        """Those that are known of, there or not."""
        return self._last.keys()

    def last(self, folder: Path) -> int:
        """The time (ns) this process knows, whatever others noted since: UNSEEN for none."""
        return self._last.get(folder, UNSEEN)

    def time(self, folder: Path) -> int:
        """The time (ns) somebody noted; UNSEEN where nobody did, 0 where the index has nothing in it either."""
        try:
            return int(self._note(folder).read_bytes())
        except (OSError, ValueError):  # none yet, or one that an end in between left behind: then all is compared
            return self._last.get(folder, 0)

    def note(self, folder: Path, time: int) -> None:
        """Note the time that a folder had when the index knew what is in it."""
        self._last[folder] = time
        with suppress(OSError):  # then more is compared the next time
            self._note(folder).write_bytes(b"%d" % time)

    def _note(self, folder: Path) -> Path:
        name = str(folder.relative_to(self._root)).encode(errors="surrogateescape")
        return self._place / blake2s(name, digest_size=16).hexdigest()
