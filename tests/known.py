"""Known executions for tests of what shows them: one of everything, at times relative to now."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from execlog.core.model import Error, Event, Item, LogLine, Status, Usage
from execlog.ledger import Ledger

SOURCE = Path(__file__).parents[1] / "src"
HALF = 30 * 60_000_000
HOUR = 2 * HALF
DAY = 24 * HOUR
STOCKS = ("MSFT", "AMZN", "IBM", "GOOG", "AAPL")
TIMEOUT = Error(
    "TimeoutError", "Failed to fetch GOOG: Connection timeout after 30s", ("source.py:41 fetch", "job.py:7 main")
)


def fill(home: Path) -> None:
    """Put the known executions into a home's SQLite store."""
    with Ledger.open(home=home) as ledger:
        ledger.store.apply(events(time.time_ns() // 1000))


def events(now: int) -> list[Event]:
    """The known executions, as of `now` (UTC µs), at half hours: a test may take that long and ages read the same."""
    return [
        _job("aaaa", "backfill-2003", now - 8 * HOUR - HALF, failed=("GOOG",)),
        _job("aaab", "backfill-2005", now - 7 * HOUR - HALF, failed=()),
        _workflow(now - 6 * HOUR - HALF),
        _query(now - 5 * HOUR - HALF),
        _command(now - 4 * HOUR - HALF),
        _running(now - 3 * HOUR - HALF),
        _ended("bbb1", "nightly", now - 40 * DAY, Status.SUCCEEDED),
        _ended(
            "bbb2",
            "nightly",
            now - 2 * DAY - 12 * HOUR,
            Status.CRASHED,
            Error("Crashed", "the process that ran it is gone"),
        ),
    ]


def ident(short: str) -> str:
    """The id of a known execution."""
    return f"019aaa39-{short}-7abc-8001-0123456789ab"


def _ended(short: str, name: str, at: int, status: Status, error: Error | None = None, **more) -> Event:
    fields = {"kind": "task", "subject": name, "duration": 1.5, "actor": "schedule"} | more
    return Event(
        id=ident(short),
        at=at + 1_500_000,
        status=status,
        name=name,
        started_at=at,
        ended_at=at + 1_500_000,
        error=error,
        **fields,
    )


def _job(short: str, name: str, at: int, *, failed: tuple[str, ...]) -> Event:
    items = tuple(
        Item(
            key=stock,
            at=at + 1_000_000,
            status=Status.FAILED if stock in failed else Status.SUCCEEDED,
            position=position,
            started_at=at,
            duration=0.25 * (position + 1),
            rows=None if stock in failed else 12,
            error=TIMEOUT if stock in failed else None,
        )
        for position, stock in enumerate(STOCKS)
    )
    status = Status.PARTIAL if failed else Status.SUCCEEDED
    error = TIMEOUT if failed else None
    return _ended(
        short,
        name,
        at,
        status,
        error,
        kind="job",
        items=items,
        rows=12 * (5 - len(failed)),
        total=5,
        tags={"year": name[-4:]},
        params={"start": f"{name[-4:]}-01-01", "source": "feed"},
        context={"host": "db1", "python": "3.11"},
    )


def _workflow(at: int) -> Event:
    usage = {"gpt-4.1": Usage(input=1200, output=345, cost_nano=5_160_000), "local": Usage(input=10, output=20)}
    return _ended(
        "cccc", "summarise", at, Status.SUCCEEDED, kind="workflow", namespace="news", usage=usage, output="All is well."
    )


def _query(at: int) -> Event:
    error = Error("QuerySyntaxError", "line 1:8: column 'pirce' does not exist")
    return _ended(
        "dddd",
        "select pirce from trades",
        at,
        Status.FAILED,
        error,
        kind="query",
        subject="warehouse",
        engine="starburst",
        actor="u-17",
        input="select pirce from trades",
    )


def _command(at: int) -> Event:
    tail = "connecting\n\x1b[31mdisk full\x1b[0m\n"
    output = {"exit_code": 3, "bytes": len(tail), "tail": tail}
    logs = (LogLine(at, 1, "info", "began"), LogLine(at + 1_000, 2, "error", "disk full", "part-7"))
    return _ended(
        "eeee",
        "backup 漢字",
        at,
        Status.FAILED,
        Error("ExitCode", "exit code 3: disk full"),
        kind="command",
        output=output,
        logs=logs,
        params={"command": ["./backup", "--all"], "cwd": "/srv"},
    )


def _running(at: int) -> Event:
    return Event(
        id=ident("ffff"),
        kind="pipeline",
        at=at,
        status=Status.RUNNING,
        name="features",
        subject="features",
        started_at=at,
        total=100,
    )


def environment(**more: str) -> dict[str, str]:
    """The environment of a command line in a test: no settings of the machine's, UTC, colours as the stream has it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXECLOG_")}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        kept.pop(name, None)
    return kept | {"PYTHONPATH": str(SOURCE), "TZ": "UTC", "LANG": "C.UTF-8", "TERM": "xterm-256color"} | more


def normalised(text: str) -> str:
    """The text with what differs from run to run replaced: times and folders."""
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| UTC)?", "<time>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d", "<date>", text)
    text = re.sub(r"\d\d:\d\d:\d\d", "<clock>", text)
    return re.sub(r"/\S*/home\b", "<home>", text)
