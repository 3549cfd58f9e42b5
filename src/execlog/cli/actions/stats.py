"""`execlog stats`: what it does."""

from __future__ import annotations

from collections.abc import Sequence

from execlog.cli import exits, units
from execlog.cli.executions import decimal
from execlog.cli.options import filter_of
from execlog.cli.parser import Options
from execlog.cli.place import open_store
from execlog.cli.table import Cell, Column, write_table, write_values
from execlog.cli.terminal import Terminal
from execlog.history.statistics import TIMED, Figures, Statistics, statistics

_FIELDS = (
    "key",
    "total",
    "succeeded",
    "partial",
    "failed",
    "timed_out",
    "cancelled",
    "crashed",
    "success_rate",
    "mean_seconds",
    "p50_seconds",
    "p95_seconds",
    "p99_seconds",
    "max_seconds",
    "rows",
    "tokens_input",
    "tokens_output",
    "cost_usd",
)


def execute(options: Options, terminal: Terminal) -> int:
    """Print the figures: those of each group, and then those over everything."""
    with open_store(options) as store:
        found = statistics(store, filter_of(options), group_by=options.by, limit=options.limit)
    lines = (*found.groups, found.overall)
    if options.json:
        from execlog.history.view import to_json

        terminal.line(to_json(found).decode())
    elif not terminal.interactive:
        write_values(terminal, _FIELDS, map(_values, lines), header=not options.no_header)
    else:
        write_table(terminal, _columns(found), lines)
        terminal.line(_footer(found, terminal))
    return exits.OK


def _columns(found: Statistics) -> Sequence[Column[Figures]]:
    shown: list[Column[Figures]] = [
        Column((found.group_by or "").upper(), lambda line: _key_cell(line, found), least=12),
        Column("ENDED", lambda line: Cell(units.count(line.total), "bold"), right=True),
        Column("SUCCESS", _rate_cell, right=True),
    ]
    for name, style, drop in (
        ("partial", "yellow", 2),
        ("failed", "red", 0),
        ("timed_out", "red", 3),
        ("cancelled", "magenta", 7),
        ("crashed", "red", 3),
    ):
        shown.append(_count_column(name, style, drop))
    for header, name, drop in (("P50", "p50", 4), ("P95", "p95", 1), ("P99", "p99", 8), ("LONGEST", "max_duration", 6)):
        shown.append(_duration_column(header, name, drop))
    return [
        *shown,
        Column("ROWS", lambda line: Cell(units.count(line.rows) if line.rows else ""), right=True, drop=9),
        Column(
            "TOKENS",
            lambda line: Cell(units.count(line.tokens.total) if line.tokens.total else ""),
            right=True,
            drop=10,
        ),
        Column("COST", lambda line: Cell(f"${line.cost:,f}" if line.cost else ""), right=True, drop=5),
    ]


def _key_cell(line: Figures, found: Statistics) -> Cell:
    if line is found.overall:
        return Cell("all", "bold")
    key = line.key or "(none)"
    if found.group_by in TIMED:
        key = key.replace("T", " ").removesuffix(":00Z")
    return Cell(key)


def _rate_cell(line: Figures) -> Cell:
    if not line.total:
        return Cell(units.NOTHING)
    style = "green" if line.succeeded == line.total else "yellow" if line.succeeded else "red"
    return Cell(units.percent(line.success_rate), style)


def _count_column(name: str, style: str, drop: int) -> Column[Figures]:
    def cell(line: Figures) -> Cell:
        number = getattr(line, name)
        return Cell(units.count(number) if number else "", style)

    return Column(name.upper().replace("_", " "), cell, right=True, drop=drop)


def _duration_column(header: str, name: str, drop: int) -> Column[Figures]:
    return Column(header, lambda line: Cell(units.seconds(getattr(line, name))), right=True, drop=drop)


def _footer(found: Statistics, terminal: Terminal) -> str:
    going = f"{units.count(found.open.running)} running, {units.count(found.open.queued)} queued"
    more = "; there are more groups: raise --limit" if found.truncated else ""
    return terminal.paint(f"Still open: {going}{more}", "dim")


def _values(line: Figures) -> list[str]:
    plain = (
        line.key,
        line.total,
        line.succeeded,
        line.partial,
        line.failed,
        line.timed_out,
        line.cancelled,
        line.crashed,
        line.success_rate,
        *map(decimal, (line.mean_duration, line.p50, line.p95, line.p99, line.max_duration)),
        line.rows,
        line.tokens.input,
        line.tokens.output,
        None if line.cost is None else f"{line.cost:f}",
    )
    return ["" if value is None else str(value) for value in plain]
