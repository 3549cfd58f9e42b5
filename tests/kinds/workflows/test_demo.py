"""The demonstration, over the real prices that the package ships."""

from __future__ import annotations

import csv
import runpy
from importlib.resources import files
from pathlib import Path

from execlog.kinds.workflows import ExecutionHistoryService
from execlog.kinds.workflows.demo import PROJECT, YEARS, run_workflow_demo

STOCKS = Path(str(files("execlog.kinds.jobs") / "data" / "stocks.csv"))


def test_the_demonstration(ledger):
    done = run_workflow_demo(ledger, STOCKS)
    by_year = {(execution.input["year"], execution.retry_of is not None): execution for execution in done}
    assert [execution.input["year"] for execution in done] == [2003, 2004, 2005, 2006, 2007, 2008, 2008, 2009]
    assert by_year[2003, False].error == "step 'prices': no prices of 2003 for GOOG"
    good = by_year[2004, False]
    # Checked by hand against the file: AAPL closed January 2004 at 11.28 and December at 32.20.
    assert good.output.splitlines()[0] == "[stand-in, no model] AAPL went from 11.28 to 32.20 US dollars, +185.5 %."
    assert (good.status, good.token_usage.total > 0, good.cost_usd > 0) == ("completed", True, True)
    assert good.models["stand-in"].prices == "the stand-in's made-up tariff"
    broken, resumed = by_year[2008, False], by_year[2008, True]
    assert (broken.status, broken.error_type) == ("failed", "ModelCallError")
    assert "503" in broken.error
    assert (resumed.status, resumed.retry_of) == ("completed", broken.id)
    assert resumed.step("prices").data["reusedFrom"] == broken.id
    statistics = ExecutionHistoryService(ledger).get_statistics(PROJECT)
    assert (statistics.total_executions, statistics.completed, statistics.failed) == (len(YEARS) + 1, 6, 2)
    assert statistics.total_cost_usd == sum(execution.cost_usd for execution in done if execution.cost_usd)


def test_rows_do_as_well_as_a_file(ledger):
    with STOCKS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert run_workflow_demo(ledger, rows)[1].status == "completed"


def test_the_example(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EXECLOG_HOME", str(tmp_path))
    monkeypatch.setenv("EXECLOG_STORE", f"sqlite:///{tmp_path / 'history.db'}")
    example = runpy.run_path(str(Path(__file__).parents[3] / "examples" / "workflows" / "ticket.py"))
    urgent = example["main"]()
    assert (urgent.status, urgent.output["topic"]) == ("completed", "outage")
    assert urgent.output["words"] == len(urgent.output["answer"].split())
    assert capsys.readouterr().out == "urgent: outage\n"
    calm = example["main"](text="How do I change my address?")
    assert calm.step("tell").status == "skipped"
