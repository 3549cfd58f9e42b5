"""What a batch writes besides the rows of executions: items, log lines, texts, statistics, a statement each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from execlog.core.model import Event, Execution, LogLine
from execlog.store.matching import searchable
from execlog.store.sql import queries
from execlog.store.sqlite import buckets
from execlog.store.sqlite.connection import Session
from execlog.store.sqlite.rows import CREATED_AT, TEXT_KEY, Row, item_row
from execlog.store.sqlite.tallying import gather

_SQL = queries("sqlite", "write")
Said = Event | list[Event]
Searched = Mapping[str, tuple[str, ...]]


class Contents(Struct):
    """What a batch leads to besides the rows of executions: one list a statement.

    gained, lost  rows of executions that statistics count from now on, or no longer; `corrected` the rows of the same
                  executions as they are now
    """

    items: list[Row] = []
    logs: list[Row] = []
    texts: list[tuple[int, str]] = []
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
            self.texts.append((row[TEXT_KEY], searchable(told, searched) or ""))


def write(session: Session, contents: Contents) -> None:
    """Write what belongs to the executions of a batch, a statement a table."""
    for name, rows in (("put_items", contents.items), ("put_logs", contents.logs)):
        if rows:
            session.run(_SQL[name], {"rows": rows})
    if contents.stale_texts:
        session.run(_SQL["delete_texts"], {"keys": contents.stale_texts})
    if contents.texts:
        session.run(_SQL["insert_texts"], {"rows": contents.texts})
    deltas = gather(contents.gained)
    buckets.add(session, deltas)
    if contents.lost:
        buckets.correct(session, contents.lost, contents.corrected)


def log_rows(number: int, lines: Iterable[LogLine]) -> list[Row]:
    """The rows of an execution's log lines."""
    return [(number, line.at, line.number, line.level, line.message, line.item) for line in lines]
