"""`execlog failures`: what it does."""

from __future__ import annotations

from execlog.cli import exits, units
from execlog.cli.actions.list import nothing
from execlog.cli.executions import short_ids
from execlog.cli.options import filter_of
from execlog.cli.parser import Options
from execlog.cli.place import now, open_store
from execlog.cli.table import Cell, Column, write_table, write_values
from execlog.cli.terminal import Terminal
from execlog.core.clock import iso
from execlog.core.model import Error
from execlog.history.reason import reason
from execlog.store.base import FailureGroup

_FIELDS = (
    "fingerprint",
    "count",
    "type",
    "message",
    "first_at",
    "last_at",
    "last_kind",
    "last_namespace",
    "last_id",
    "subjects",
)
_SUBJECTS = 3


def execute(options: Options, terminal: Terminal) -> int:
    """Print the groups."""
    asked = filter_of(options)
    with open_store(options) as store:
        groups = store.failures(asked, limit=options.limit)
        ids = short_ids(store, [group.last.id for group in groups]) if terminal.interactive else {}
    if options.json:
        from execlog.history.listing import FailureList, view_failure
        from execlog.history.view import to_json

        terminal.line(to_json(FailureList(tuple(map(view_failure, groups)))).decode())
    elif not terminal.interactive:
        write_values(terminal, _FIELDS, map(_values, groups), header=not options.no_header)
    elif groups:
        write_table(terminal, _columns(ids), groups)
    else:
        terminal.line("No failures." if asked.statuses or options.since else f"No failures. {nothing(asked)}")
    return exits.OK


def _columns(ids: dict[str, str]) -> list[Column[FailureGroup]]:
    at = now()
    return [
        Column("TIMES", lambda group: Cell(units.count(group.count), "bold"), right=True),
        Column("LAST", lambda group: Cell(units.age(group.last_at, at)), right=True),
        Column("FIRST", lambda group: Cell(units.age(group.first_at, at), "dim"), right=True, drop=3),
        Column("ERROR", lambda group: Cell(reason(Error(group.type, group.message)), "red"), least=24),
        Column("WHAT", lambda group: Cell(_subjects(group)), least=10, drop=1),
        Column("LAST ID", lambda group: Cell(ids[group.last.id], "cyan"), least=13),
        Column("FINGERPRINT", lambda group: Cell(group.fingerprint, "dim"), drop=2),
    ]


def _subjects(group: FailureGroup) -> str:
    more = len(group.subjects) - _SUBJECTS
    return ", ".join(group.subjects[:_SUBJECTS]) + (f" and {more} more" if more > 0 else "")


def _values(group: FailureGroup) -> list[str]:
    return [
        group.fingerprint,
        str(group.count),
        group.type,
        group.message,
        iso(group.first_at) or "",
        iso(group.last_at) or "",
        *group.last,
        ",".join(group.subjects),
    ]
