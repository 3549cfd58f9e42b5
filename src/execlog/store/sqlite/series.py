"""Which cells serve a question about statistics, and how its window is cut into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from execlog.core.filter import Filter
from execlog.core.rollup import DAY, FINE, HOUR, MINUTE, SEPARATOR, resolutions_of, series_name
from execlog.store.base import GroupBy
from execlog.store.matching import only
from execlog.store.sqlite.query import Places
from execlog.store.sqlite.tallying import SECOND

SERVED = frozenset({"kind", "namespace", "subject", "actor", "engine", "since", "until"})
SPANS = {"minute": MINUTE, "hour": HOUR, "day": DAY}
_ABOUT = ("namespace", "subject", "actor", "engine")
Window = tuple[int | None, int | None]


class Series(Struct, frozen=True):
    """Cells that serve a question: those of one series, or of all series whose names begin so.

    part    which part of a series' name is the group; None where series are not what the question is grouped by
    wanted  what that name must have in a part, where it is more than its beginning
    """

    name: str
    prefix: bool = False
    part: int | None = None
    wanted: tuple[int, str] | None = None

    @property
    def bounds(self) -> tuple[str, str]:
        """The names lie in [low, high)."""
        if self.prefix:
            return self.name + SEPARATOR, self.name + chr(ord(SEPARATOR) + 1)
        return self.name, self.name + "\x01"


def serving(
    filter: Filter, group_by: GroupBy | None, every_kind: Callable[[], Sequence[str]], places: Places
) -> list[Series] | None:
    """The series that together answer the question, disjoint; None where no series does.

    Which kinds there are is asked only where the filter leaves them open and it matters.
    """

    def kinds() -> Sequence[str]:
        return every_kind() if filter.kind is None else [filter.kind]

    about = {name for name in _ABOUT if getattr(filter, name) is not None}
    if (
        not only(filter, SERVED)
        or "" in {filter.subject, filter.actor, filter.engine}
        or (group_by == "minute" and about)
    ):
        return None
    asked = about | {str(group_by)} & set(_ABOUT)
    if "subject" in asked:
        places = places or tuple((kind, filter.namespace) for kind in kinds())
        return _of_subjects(filter, group_by, places) if asked <= {"namespace", "subject"} else None
    if "actor" in asked:
        return [_of_actors(filter, group_by, kind) for kind in kinds()] if asked <= {"actor", "engine"} else None
    if "engine" in asked:
        return [_of_engines(filter, group_by, kind) for kind in kinds()] if asked == {"engine"} else None
    return _of_kinds(filter, group_by, kinds)


def cut(window: Window, resolutions: Sequence[int]) -> tuple[list[tuple[int, Window]], list[Window]]:
    """The window as whole cells (resolution, [since, until)), coarsest first, and the edges that no cell fits into."""
    since, until = window
    if since is not None and until is not None and since >= until:
        return [], []
    if not resolutions:
        return [], [window]
    span = resolutions[0] * SECOND
    first = None if since is None else -(-since // span) * span
    last = None if until is None else until // span * span
    if first is not None and last is not None and first >= last:
        return cut(window, resolutions[1:])
    cells: list[tuple[int, Window]] = [(resolutions[0], (first, last))]
    edges: list[Window] = []
    for edge in ((since, first), (last, until)):
        if None not in edge:
            finer, rest = cut(edge, resolutions[1:])
            cells += finer
            edges += rest
    return cells, edges


def resolutions(series: Sequence[Series], group_by: GroupBy | None) -> list[int]:
    """The resolutions to cut a window into, coarsest first."""
    longest = SPANS.get(group_by or "", DAY)
    kept = (one for one in FINE if one <= longest and all(one in resolutions_of(entry.name) for entry in series))
    return sorted(kept, reverse=True)


def _of_subjects(filter: Filter, group_by: GroupBy | None, places: Places) -> list[Series]:
    part = {"subject": 3, "kind": 1}.get(group_by or "")
    if filter.subject is not None:
        return [Series(series_name("subject", kind, space, filter.subject), part=part) for kind, space in places]
    spaces = [(kind,) if space is None else (kind, space) for kind, space in places]
    return [Series(series_name("subject", *place), prefix=True, part=part) for place in spaces]


def _of_actors(filter: Filter, group_by: GroupBy | None, kind: str) -> Series:
    part = {"actor": 2, "engine": 3, "kind": 1}.get(group_by or "")
    if filter.actor is None:
        wanted = None if filter.engine is None else (3, filter.engine)
        return Series(series_name("actor", kind), prefix=True, part=part, wanted=wanted)
    if filter.engine is None:
        return Series(series_name("actor", kind, filter.actor), prefix=True, part=part)
    return Series(series_name("actor", kind, filter.actor, filter.engine), part=part)


def _of_engines(filter: Filter, group_by: GroupBy | None, kind: str) -> Series:
    part = {"engine": 2, "kind": 1}.get(group_by or "")
    if filter.engine is None:
        return Series(series_name("engine", kind), prefix=True, part=part)
    return Series(series_name("engine", kind, filter.engine), part=part)


def _of_kinds(filter: Filter, group_by: GroupBy | None, kinds: Callable[[], Sequence[str]]) -> list[Series] | None:
    part = 1 if group_by == "kind" else None
    if filter.namespace == "":
        return None
    if filter.namespace is not None:
        return [Series(series_name("namespace", kind, filter.namespace), part=part) for kind in kinds()]
    if filter.kind is None and part is None:
        return [Series(series_name("all"))]
    return [Series(series_name("kind", kind), part=part) for kind in kinds()]
