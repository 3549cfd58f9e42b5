"""Runs SQL over real prices through the gateway, then asks the history who asked what: `python ask_and_look_back.py`.

Needs nothing but execlog; with `execlog[duckdb]` it asks DuckDB as well as SQLite.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import execlog
from execlog.kinds.queries import demo, history
from execlog.ledger import Ledger

PRICES = Path(execlog.__file__).parent / "kinds" / "jobs" / "data" / "stocks.csv"


def main() -> None:
    """Ask, and print what became of it and what the history says."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, Ledger.open(home=home) as ledger:
        for one in demo.run_query_demo(ledger, PRICES):
            rows = "" if one.total_rows is None else f"{one.total_rows} rows"
            print(f"{one.user_id:4} {one.connection:10} {one.status:8} {one.seconds:6.3f} s  {one.title}  {rows}")
            if one.message:
                print(f"{'':24} {one.message.splitlines()[0][:90]}")
        ledger.flush()
        for user_id in ("ann", "bob"):
            stats = history.user_stats(ledger, user_id, days=7)
            print(f"{user_id}: {stats.total_executions} queries, {stats.success_rate} % succeeded")


if __name__ == "__main__":
    main()
