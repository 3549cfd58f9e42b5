"""One execution on paper: what `execlog show` prints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from execlog.cli import units
from execlog.cli.executions import STYLES, items_text, status_cell, title, took
from execlog.cli.place import now
from execlog.cli.table import Cell, Column, write_table
from execlog.cli.terminal import Terminal, cut, printable
from execlog.core.clock import iso
from execlog.core.model import OPEN, Execution, Item, LogLine, Status
from execlog.history.comparison import apart
from execlog.history.reason import reason, skipped, taken_over

if TYPE_CHECKING:
    from execlog.history.comparison import Difference
    from execlog.history.dossier import Dossier
    from execlog.history.findings import Explanation
    from execlog.history.view import ExecutionView

_LABEL = 12
_MOST_ITEMS = 40
_MOST_LOGS = 20
_MOST_TAIL = 20
_MOST_CHANGES = 8
_INLINE = 100
_LEVELS = {"error": "red", "critical": "red", "warning": "yellow", "debug": "dim"}


def write_dossier(
    terminal: Terminal, execution: Execution, found: Dossier, explanation: Explanation | None, *, whole: bool
) -> None:
    """Write everything about an execution; not `whole`: of long lists the part that matters most."""
    _write_head(terminal, execution)
    if explanation is not None and explanation.summary:
        _heading(terminal, "Unusual" if execution.status is Status.SUCCEEDED else "Why")
        write_explanation(terminal, execution, explanation)
    _write_values(terminal, execution)
    _write_items(terminal, execution, whole=whole)
    _write_output(terminal, execution, whole=whole)
    _write_logs(terminal, execution.logs, whole=whole)
    _write_related(terminal, "Attempts", found.attempts, execution.id)
    _write_related(terminal, "Children", found.children, execution.id)


def _write_head(terminal: Terminal, one: Execution) -> None:
    status = status_cell(one.status, terminal)
    terminal.line(f"{terminal.paint(status.text, status.style)}  {terminal.paint(printable(title(one)), 'bold')}")
    for label, value in _facts(one, terminal):
        if value:
            _fact(terminal, label, value)


def _facts(one: Execution, terminal: Terminal) -> Iterator[tuple[str, str]]:
    at = now()
    yield "id", one.id
    yield "kind", one.kind + (f" in {one.namespace}" if one.namespace else "")
    yield "subject", (one.subject or "") if one.subject != title(one) else ""
    yield "by", one.actor or ""
    yield "on", one.engine or ""
    yield "queued", _time(one.queued_at, terminal, at)
    yield "started", _time(one.started_at, terminal, at)
    yield "ended", _time(one.ended_at, terminal, at)
    yield "took", took(one, at) if one.seconds is not None or one.status in OPEN else ""
    yield "items", _items(one)
    yield "rows", "" if one.rows is None else units.count(one.rows)
    for model, usage in (one.usage or {}).items():
        cost = "cost unknown" if usage.cost_nano is None else units.dollars(usage.cost_nano)
        yield "model", f"{model}: {usage.input:,} tokens in, {usage.output:,} out, {cost}"
    yield "tags", ", ".join(f"{key}={value}" for key, value in (one.tags or {}).items())
    yield "retry of", one.retry_of or ""
    yield "inside", one.parent_id or ""
    yield "ran in", ", ".join(f"{key} {value}" for key, value in (one.context or {}).items())


def _items(one: Execution) -> str:
    parts = [items_text(one.counts, one.total)]
    if one.counts.failed:
        parts.append(f"{units.count(one.counts.failed)} failed")
    if one.counts.open and one.status in OPEN:
        parts.append(f"{units.count(one.counts.open)} going")
    return ", ".join(part for part in parts if part)


def _time(at: int | None, terminal: Terminal, now_at: int) -> str:
    if at is None:
        return ""
    return f"{units.local(at)} ({units.age(at, now_at)})" if terminal.interactive else iso(at) or ""


def write_explanation(terminal: Terminal, one: Execution, explanation: Explanation) -> None:
    """Write why it did not go well, or what in it is out of the usual."""
    first, *more = explanation.summary
    colour = {Status.CANCELLED: "magenta", Status.SUCCEEDED: "yellow"}.get(one.status, "red")
    _block(terminal, first, colour)
    for frame in explanation.error.frames if explanation.error else ():
        _block(terminal, f"  at {frame}", "dim")
    for sentence in more:
        _block(terminal, sentence)
    for change in [change for change in explanation.changed if change.telling][:_MOST_CHANGES]:
        write_difference(terminal, change)
    if explanation.error is not None and explanation.error.fingerprint:
        _block(terminal, f"fingerprint {explanation.error.fingerprint}", "dim")


def write_difference(terminal: Terminal, change: Difference) -> None:
    """Write what changed, from what to what; of long texts from a little before where they part."""
    before, after = apart(*(_one_line(value) for value in (change.before, change.after)))
    path, old, new = (printable(text) for text in (change.path, cut(before, _INLINE), cut(after, _INLINE)))
    terminal.line(f"  {terminal.paint(f'{path}:', 'dim')} {old} -> {new}")


def _one_line(value: Any) -> str:
    flat = _flat(value)
    return "nothing" if value is None else flat if isinstance(flat, str) else _json(flat)


def _write_values(terminal: Terminal, one: Execution) -> None:
    output = {key: value for key, value in one.output.items() if key != "tail"} if _has_tail(one) else one.output
    for heading, value in (
        ("Parameters", one.params),
        ("Input", one.input),
        ("Output", output),
        ("Metadata", one.metadata),
    ):
        if value not in (None, {}, ""):
            _heading(terminal, heading)
            _write_value(terminal, value)


def _write_value(terminal: Terminal, value: Any) -> None:
    plain = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    fields = {key: _flat(entry) for key, entry in plain.items()}
    if fields and not any(isinstance(entry, dict | list) for entry in fields.values()):
        for key, entry in fields.items():
            _fact(terminal, str(key), entry if isinstance(entry, str) else _json(entry), indent=2)
        return
    text = value if isinstance(value, str) else _json(value)
    _block(terminal, text if isinstance(value, str) or len(text) <= _INLINE else _json(value, indent=2))


def _flat(value: Any) -> Any:
    """A list of plain texts as one line that a shell would read so; anything else as it is."""
    if not isinstance(value, list):
        return value
    texts = cast("list[Any]", value)
    return shlex.join(texts) if all(isinstance(text, str) for text in texts) else texts


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _write_items(terminal: Terminal, execution: Execution, *, whole: bool) -> None:
    items = execution.items
    if not items:
        return
    _heading(terminal, "Items")
    shown = list(items) if whole else _telling(items)
    write_table(terminal, _item_columns(terminal, ended=execution.status not in OPEN), shown)
    if len(shown) < len(items):
        _block(terminal, f"{len(items) - len(shown):,} more: --all", "dim")


def _telling(items: Sequence[Item]) -> list[Item]:
    """The items that say most, in their order: those that went wrong, then those that are going, then the others."""
    order = sorted(range(len(items)), key=lambda number: (_weight(items[number].status), number))
    return [items[number] for number in sorted(order[:_MOST_ITEMS])]


def _weight(status: Status) -> int:
    return {Status.SUCCEEDED: 2, Status.QUEUED: 3, Status.RUNNING: 1}.get(status, 0)


def _item_columns(terminal: Terminal, *, ended: bool) -> list[Column[Item]]:
    return [
        Column("  STATUS", lambda item: _outcome(item, terminal, ended=ended)),
        Column("ITEM", lambda item: Cell(item.key, "bold"), least=8),
        Column("TOOK", lambda item: Cell("" if item.duration is None else units.seconds(item.duration)), right=True),
        Column("ROWS", lambda item: Cell("" if item.rows is None else units.count(item.rows)), right=True),
        Column("TRY", lambda item: Cell(str(item.attempt) if item.attempt > 1 else ""), right=True),
        Column(
            "COST",
            lambda item: Cell("" if item.cost_nano is None else units.dollars(item.cost_nano)),
            right=True,
            drop=1,
        ),
        Column(
            "WHY",
            lambda item: Cell(_why(item), STYLES[item.status] if item.error is not None else "dim"),
            drop=0,
        ),
    ]


def _outcome(item: Item, terminal: Terminal, *, ended: bool) -> Cell:
    """Its status; of what did not run, that it did not."""
    idle = "skipped" if skipped(item.data) is not None else "not run" if ended and item.status is Status.QUEUED else ""
    cell = status_cell(Status.QUEUED if idle else item.status, terminal, idle)
    return Cell(f"  {cell.text}", cell.style)


def _why(item: Item) -> str:
    """Why it failed or never ran, or whose outcome it has."""
    if item.error is not None:
        return reason(item.error)
    before = taken_over(item.data)
    return skipped(item.data) or (f"taken over from {before}" if before else "")


def _has_tail(one: Execution) -> bool:
    return isinstance(one.output, dict) and isinstance(one.output.get("tail"), str)  # pyright: ignore[reportUnknownMemberType] - an output is any JSON


def _write_output(terminal: Terminal, one: Execution, *, whole: bool) -> None:
    if not _has_tail(one) or not one.output["tail"]:
        return
    lines = one.output["tail"].rstrip("\n").split("\n")
    shown = lines if whole else lines[-_MOST_TAIL:]
    _heading(terminal, "End of its output")
    if len(shown) < len(lines):
        _block(terminal, f"{len(lines) - len(shown):,} lines before: --all", "dim")
    _block(terminal, "\n".join(shown))


def _write_logs(terminal: Terminal, logs: Sequence[LogLine], *, whole: bool) -> None:
    if not logs:
        return
    _heading(terminal, "Log")
    shown = logs if whole else logs[-_MOST_LOGS:]
    if len(shown) < len(logs):
        _block(terminal, f"{len(logs) - len(shown):,} lines before: --all", "dim")
    for line in shown:
        at = units.time_of_day(line.at) if terminal.interactive else iso(line.at)
        about = f"{line.item}: " if line.item else ""
        text = printable(f"{line.level:<7} {about}{line.message}")
        terminal.line(f"  {terminal.paint(str(at), 'dim')} {terminal.paint(text, _LEVELS.get(line.level, ''))}")


def _write_related(terminal: Terminal, heading: str, views: Sequence[ExecutionView], own: str) -> None:
    if not views:
        return
    _heading(terminal, heading)
    for view in views:
        status = status_cell(view.status, terminal)
        mark = " (this one)" if view.id == own else ""
        took_text = "" if view.duration is None else units.seconds(view.duration)
        name = printable(view.name or view.subject or view.kind)
        terminal.line(f"  {terminal.paint(f'{status.text:<12}', status.style)} {view.id}  {name}  {took_text}{mark}")


def _heading(terminal: Terminal, text: str) -> None:
    terminal.line()
    terminal.line(terminal.paint(text, "bold"))


def _fact(terminal: Terminal, label: str, value: str, indent: int = 0) -> None:
    label_text = terminal.paint(f"{' ' * indent}{printable(label):<{_LABEL - indent - 1}} ", "dim")
    first, *more = printable(value, keep_newlines=True).split("\n")
    terminal.line(f"{label_text}{first}")
    for line in more:
        terminal.line(" " * _LABEL + line)


def _block(terminal: Terminal, text: str, style: str = "") -> None:
    for line in printable(text, keep_newlines=True).split("\n"):
        terminal.line("  " + terminal.paint(line, style))
