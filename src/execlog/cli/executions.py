"""How executions look: the columns of a list on a terminal, and the fields of a line in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from execlog.cli import units
from execlog.cli.table import Cell, Column, write_line
from execlog.cli.terminal import Terminal, cut
from execlog.core.clock import iso
from execlog.core.filter import Filter
from execlog.core.model import OPEN, Counts, Error, Execution, Status
from execlog.history.reason import why
from execlog.store.base import Store
from execlog.store.preparing import is_failed

STYLES: dict[Status, str] = {
    Status.QUEUED: "dim",
    Status.RUNNING: "blue",
    Status.SUCCEEDED: "green",
    Status.PARTIAL: "yellow",
    Status.FAILED: "red",
    Status.TIMED_OUT: "red",
    Status.CANCELLED: "magenta",
    Status.CRASHED: "bold red",
}
_GLYPHS: dict[Status, str] = {
    Status.QUEUED: "○",
    Status.RUNNING: "▶",
    Status.SUCCEEDED: "✓",
    Status.PARTIAL: "◐",
    Status.FAILED: "✗",
    Status.TIMED_OUT: "⏱",
    Status.CANCELLED: "⊘",
    Status.CRASHED: "☠",
}
FIELDS = (
    "id",
    "kind",
    "namespace",
    "status",
    "subject",
    "name",
    "actor",
    "engine",
    "created_at",
    "started_at",
    "ended_at",
    "duration_seconds",
    "items",
    "items_succeeded",
    "items_failed",
    "rows",
    "tokens_input",
    "tokens_output",
    "cost_usd",
    "error_type",
    "error_message",
)
"""The fields of a line in a pipe, and of a CSV file."""
TEXTS = frozenset({"id", "kind", "namespace", "subject", "name", "actor", "engine", "error_type", "error_message"})
"""Those of the fields that say what somebody chose to say."""
_FEW = 100
_NEAR = 200
"""As many ids of one beginning as are looked at."""
_SHORT = 13
"""As much of a UUIDv7 as tells milliseconds apart."""


def status_cell(status: Status, terminal: Terminal, word: str = "") -> Cell:
    """A status, called by its own word or this one, in its colour, with its sign where the terminal has it."""
    word = word or status.value.replace("_", " ")
    return Cell(f"{_GLYPHS[status]} {word}" if terminal.glyphs else word, STYLES[status])


def columns(terminal: Terminal, now: int, ids: dict[str, str]) -> list[Column[Execution]]:
    """The columns of a list; `ids` gives the short form of each id."""
    return [
        Column("STATUS", lambda one: status_cell(one.status, terminal)),
        Column("WHAT", lambda one: Cell(title(one), "bold"), least=12),
        Column("KIND", lambda one: Cell(one.kind, "dim"), drop=5),
        Column("ID", lambda one: Cell(ids[one.id], "cyan"), least=_SHORT),
        Column("WHEN", lambda one: Cell(units.age(one.created_at, now)), right=True),
        Column("TOOK", lambda one: Cell(took(one, now)), right=True, drop=2),
        Column("ITEMS", lambda one: _items_cell(one.counts, one.total), right=True, drop=3),
        Column("ROWS", lambda one: Cell("" if one.rows is None else units.count(one.rows)), right=True, drop=6),
        Column("TOKENS", lambda one: Cell(units.count(sum(one.tokens)) if one.usage else ""), right=True, drop=7),
        Column(
            "COST", lambda one: Cell("" if one.cost_nano is None else units.dollars(one.cost_nano)), right=True, drop=4
        ),
        Column("WHY", lambda one: Cell(why(one), STYLES[one.status]), least=14, drop=1),
    ]


def values(one: Execution) -> list[str]:
    """The values of `FIELDS`; what is not known is empty. The error is its own, or that of its first failed item."""
    tokens = one.tokens if one.usage else (None, None)
    of_items = (item.error for item in one.items if is_failed(item))
    error = one.error or next(of_items, None) or Error("", "")
    counts = one.counts
    plain: tuple[object, ...] = (
        one.id,
        one.kind,
        one.namespace,
        one.status.value,
        one.subject,
        one.name,
        one.actor,
        one.engine,
        iso(one.created_at),
        iso(one.started_at),
        iso(one.ended_at),
        decimal(one.seconds),
        counts.total,
        counts.succeeded,
        counts.failed,
        one.rows,
        *tokens,
        exact_dollars(one.cost_nano),
        error.type,
        error.message,
    )
    return ["" if value is None else str(value) for value in plain]


def write_execution(terminal: Terminal, one: Execution, short: str, indent: str = "") -> None:
    """Write an execution in one line of a terminal."""
    said = one.ended_at or one.started_at or one.created_at
    status = status_cell(one.status, terminal)
    padded = Cell(f"{status.text:<11}", status.style)
    ended = "" if one.seconds is None else units.seconds(one.seconds)
    line: list[Column[Execution]] = [
        Column("", lambda _: Cell(units.time_of_day(said), "dim")),
        Column("", lambda _: padded),
        Column("", lambda _: Cell(cut(title(one), 40), "bold"), least=8),
        Column("", lambda _: Cell(short, "cyan"), least=_SHORT),
        Column("", lambda _: Cell(ended), drop=3),
        Column("", lambda _: Cell(items_text(one.counts, one.total)), drop=2),
        Column("", lambda _: Cell(cut(why(one), 80), status.style), least=10, drop=1),
    ]
    write_line(terminal, line, one, indent)


def title(one: Execution) -> str:
    """What people call it."""
    return one.name or one.subject or one.id


def took(one: Execution, now: int) -> str:
    """How long it took, or how long it has been going."""
    if one.seconds is not None:
        return units.seconds(one.seconds)
    if one.status in OPEN and one.started_at is not None:
        return f"> {units.about(max(now - one.started_at, 0) / 1e6)}"
    return units.NOTHING


def items_text(counts: Counts, total: int | None) -> str:
    """How many of its items went well, "4/5"; with those expected where more are; "" without items."""
    most = max(counts.total, total or 0)
    return f"{units.count(counts.succeeded)}/{units.count(most)}" if most else ""


def short_ids(store: Store, ids: Iterable[str]) -> dict[str, str]:
    """The shortest beginnings, of at least 13 characters, that no other id in the store has.

    Of ids that begin in very many ways, or as very many others do, some stay whole: it takes a look each.
    """
    shown = sorted(set(ids))
    known = set(shown)
    unsure: set[str] = set()
    for number, start in enumerate(sorted({id_[:_SHORT] for id_ in shown if len(id_) > _SHORT})):
        page = store.find(Filter(id_prefix=start), limit=_NEAR) if number < _FEW else None
        if page is None or page.next_cursor is not None:
            unsure.add(start)
        else:
            known.update(one.id for one in page.entries)
    ordered = sorted(known)
    short = {id_: _beginning(ordered, number) for number, id_ in enumerate(ordered)}
    return {id_: id_ if id_[:_SHORT] in unsure else short[id_] for id_ in shown}


def _beginning(ordered: Sequence[str], number: int) -> str:
    """The shortest beginning that tells one of these ordered ids from its neighbours."""
    id_ = ordered[number]
    near = (ordered[other] for other in (number - 1, number + 1) if 0 <= other < len(ordered))
    length = max((_common(id_, other) + 1 for other in near), default=0)
    return id_[: max(length, _SHORT)]


def decimal(seconds: float | None) -> str | None:
    """Seconds to the microsecond, without an exponent."""
    return None if seconds is None else f"{seconds:.6f}".rstrip("0").rstrip(".")


def exact_dollars(nano: int | None) -> str | None:
    """US dollars as a decimal number, exactly."""
    if nano is None:
        return None
    whole, rest = divmod(abs(nano), 10**9)
    return f"{'-' if nano < 0 else ''}{whole}.{rest:09d}".rstrip("0").rstrip(".")


def _items_cell(counts: Counts, total: int | None) -> Cell:
    style = "yellow" if counts.failed and counts.succeeded else "red" if counts.failed else ""
    return Cell(items_text(counts, total), style)


def _common(one: str, other: str) -> int:
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return number
    return min(len(one), len(other))
