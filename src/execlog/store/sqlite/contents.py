"""What a batch writes besides the rows of executions: items, log lines, texts, statistics, a statement each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from execlog.core.model import TERMINAL, Event, Execution, LogLine
from execlog.store.matching import searchable
from execlog.store.sql import queries
from execlog.store.sqlite import buckets
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.rows import CREATED_AT, LOST_BY, STATUS, TEXT_KEY, Row, item_row
from execlog.store.sqlite.staging import move, stage

_SQL = queries("sqlite", "write")
Place = tuple[str, str, str]
"""(kind, namespace, id): equal to a `Key`, and quicker made."""

Said = Event | list[Event]
Searched = Mapping[str, tuple[str, ...]]


class Contents(Struct):
    """What a batch leads to besides the rows of executions: one list a statement.

    gained, lost  rows of executions that the cells count from now on, or no longer; `corrected` the rows of the same
                  executions as they are now. Executions beyond `summed` are not in the cells yet: see `summing`
    """

    summed: int = 0
    items: list[Row] = []
    logs: list[Row] = []
    texts: list[tuple[int, str, int]] = []
    stale_texts: list[int] = []
    gained: list[Row] = []
    lost: list[Row] = []
    corrected: list[Row] = []

    def tell(self, row: Row, told: Event | Execution, searched: Searched) -> None:
        """Take in what belongs to a new execution."""
        number = row[0]
        if told.items:
            created_at = row[CREATED_AT]
            self.items += [item_row(number, created_at, item) for item in told.items]
        if told.logs:
            self.logs += log_rows(number, set(told.logs))
        if row[TEXT_KEY] is not None:
            self.texts.append((row[TEXT_KEY], searchable(told, searched) or "", number))

    def forget(self, numbers: Collection[int]) -> None:
        """Leave out what was told of executions that turned out to be there already."""
        self.items = [row for row in self.items if row[0] not in numbers]
        self.logs = [row for row in self.logs if row[0] not in numbers]
        self.texts = [row for row in self.texts if row[2] not in numbers]

    def change(self, old: Row, new: Row) -> None:
        """Note that an execution's row changed, where the cells are made of it."""
        if new[0] > self.summed:
            return
        if old[STATUS] not in TERMINAL:
            self.gained.append(new)
        elif any(new[place] != old[place] for place in LOST_BY):
            self.lost.append(old)
            self.corrected.append(new)

    def write(self, session: Session) -> None:
        """Write it all, a statement a table."""
        if self.items:
            stage(session, "items", self.items)
            move(session, "items")
        if self.logs:
            session.run(_SQL["put_logs"], {"rows": self.logs})
        if self.stale_texts:
            session.run(_SQL["delete_texts"], {"keys": self.stale_texts})
        if self.texts:
            session.run(_SQL["insert_texts"], {"rows": self.texts})
        if self.gained:
            buckets.add(session, self.gained)
        if self.lost:
            buckets.correct(session, self.lost, self.corrected)


def log_rows(number: int, lines: Iterable[LogLine]) -> list[Row]:
    """The rows of an execution's log lines."""
    return [(number, line.at, line.number, line.level, line.message, line.item) for line in lines]
