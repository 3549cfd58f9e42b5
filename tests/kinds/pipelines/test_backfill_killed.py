"""A backfill whose process is killed: the next one does the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from execlog.kinds.pipelines import PipelineHistory
from execlog.ledger import Ledger

pytest.importorskip("polars")
DEADLINE = 30.0
VICTIM = """
import sys, time
from pathlib import Path
from execlog.kinds.pipelines import Backfill, SqliteWarehouse
from execlog.kinds.pipelines.bars import Bar
from execlog.ledger import Ledger

home, calls, resume, stall = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] or None, sys.argv[4]

def source(symbol, timeframe, start, end):
    with calls.open("a") as file:
        file.write(symbol + "\\n")
    if symbol == stall:
        time.sleep(60)
    return [Bar(at * 86_400_000_000, 100.0 + at) for at in range(20)]

with Ledger.open(home=home) as ledger:
    backfill = Backfill(ledger, source, SqliteWarehouse(home / "market.db"), features=["sma_3"], limit=1)
    report = backfill.run([f"S{n}" for n in range(6)], ["1d"], resume=resume)
    print(report.status.value, report.before, report.succeeded)
"""


@pytest.mark.crash
def test_after_a_kill_the_done_pairs_are_not_done_again(tmp_path):
    calls = tmp_path / "calls"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}

    def start(resume: str, stall: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", VICTIM, str(tmp_path / "home"), str(calls), resume, stall]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    victim = start("", "S3")
    until = time.monotonic() + DEADLINE
    while not (calls.exists() and "S3" in calls.read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=DEADLINE)

    said, _ = start("last", "").communicate(timeout=DEADLINE)
    assert said.split() == ["succeeded", "3", "3"]
    assert Counter(calls.read_text().split()) == {"S0": 1, "S1": 1, "S2": 1, "S3": 2, "S4": 1, "S5": 1}
    with Ledger.open(home=tmp_path / "home") as ledger:
        history = PipelineHistory(ledger)
        assert [entry["status"] for entry in history.get_execution_history()] == ["completed", "failed"]
        assert history.get_scheduler_health()["status"] == "healthy"
