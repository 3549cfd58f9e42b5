"""A workflow to look at: a year's report over real prices, its words by a stand-in for a model, which says so itself.

Years before 2004 really fail: GOOG has no prices then. In 2008 the stand-in is told to be out of order, and the failed
execution is resumed once it answers again.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from execlog.core.pricing import Rate, Tariff
from execlog.kinds.workflows.definition import Workflow
from execlog.kinds.workflows.engine import ExecutionEngine
from execlog.kinds.workflows.flow import Flow
from execlog.kinds.workflows.models.endpoint import Endpoint
from execlog.kinds.workflows.models.standin import Asked, Fault, StandIn
from execlog.kinds.workflows.record import WorkflowExecution
from execlog.ledger import Ledger

PROJECT = "price-reports"
YEARS = (2003, 2004, 2005, 2006, 2007, 2008, 2009)
SYMBOLS = ("MSFT", "AMZN", "IBM", "GOOG", "AAPL")
OUTAGE = 2008
MODEL = "stand-in"
TARIFF = Tariff({MODEL: Rate(Decimal("0.15"), Decimal("0.60"), Decimal("0.075"))}, "the stand-in's made-up tariff")
"""Nobody is paid: it shows how cost is kept."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TRIES = 2


def report() -> Workflow:
    """The workflow: prices, what they changed by, a sentence about the best and the worst, and the report."""
    flow = Flow(
        "price report",
        id="price-report",
        description="A year of five stocks in two sentences. The words come from a stand-in: there is no model.",
        input={"symbols": list(SYMBOLS)},
        budget={"max_tokens": 5_000},
        output="{{ steps.report.output }}",
    )
    here = f"{__name__}:"
    inputs = {"rows": "{{ input.rows }}", "year": "{{ input.year }}", "symbols": "{{ input.symbols }}"}
    flow.python("prices", f"{here}prices_of", input=inputs)
    flow.python("changes", f"{here}changes_of", input={"prices": "{{ steps.prices.output }}"})
    about = "Say what this means for whoever held it:\n{{ steps.changes.output.%s.said }}"
    flow.llm("praise", model=MODEL, prompt=about % "best", system="One sentence.", stream=True)
    flow.llm(
        "consolation",
        model=MODEL,
        endpoint="messages",
        prompt=about % "worst",
        system="One sentence, kindly.",
        when="steps.changes.output.worst.percent < 0",
    )
    sentences = ["{{ steps.praise.output }}", "{{ steps.consolation.output }}"]
    flow.python("report", f"{here}join", input={"sentences": sentences}, join="any")
    return flow.workflow


def run_workflow_demo(ledger: Ledger, prices: Path | Iterable[Mapping[str, str]]) -> list[WorkflowExecution]:
    """The executions of the demonstration, oldest first: a report a year, one of them failed and resumed.

    `prices` is a CSV file, or rows, with symbol, date ("Jan 1 2000" or ISO 8601) and price.
    """
    rows = read_prices(prices)
    executions: list[WorkflowExecution] = []
    with StandIn(last_line) as model:
        endpoints = {
            "default": Endpoint(base_url=model.url, retries=_TRIES - 1),
            "messages": Endpoint(api="anthropic", base_url=model.url, retries=_TRIES - 1),
        }
        engine = ExecutionEngine(ledger, endpoints=endpoints, prices=TARIFF)
        workflow = report()
        for year in YEARS:
            if year == OUTAGE:
                # Both sentences are asked for at once, each as often as its endpoint tries.
                broken = Fault(status=503, message="the stand-in is told to be out of order", retry_after="0")
                model.faults.extend([broken] * 2 * _TRIES)
            values = {"rows": [row for row in rows if row["date"].startswith(str(year))], "year": year}
            executions.append(engine.run(workflow, values, project_id=PROJECT, triggered_by="demo"))
            if year == OUTAGE:
                model.faults.clear()
                executions.append(engine.resume(PROJECT, executions[-1].id, triggered_by="demo"))
    ledger.flush()
    return executions


def read_prices(prices: Path | Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Rows with symbol, date (ISO 8601) and price, by date."""
    if isinstance(prices, Path):
        with prices.open(newline="", encoding="utf-8") as file:
            return read_prices(list(csv.DictReader(file)))
    rows = [{"symbol": row["symbol"], "date": _iso(row["date"]), "price": float(row["price"])} for row in prices]
    return sorted(rows, key=lambda row: (row["date"], row["symbol"]))


def prices_of(rows: Sequence[Mapping[str, Any]], year: int, symbols: Sequence[str]) -> dict[str, list[float]]:
    """Each symbol's prices of the year, oldest first. Raises LookupError for a symbol without any."""
    found: dict[str, list[float]] = {symbol: [] for symbol in symbols}
    for row in rows:
        if row["symbol"] in found:
            found[row["symbol"]].append(row["price"])
    missing = [symbol for symbol, prices in found.items() if not prices]
    if missing:
        raise LookupError(f"no prices of {year} for {', '.join(missing)}")
    return found


def changes_of(prices: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The best and the worst: from the year's first price to its last, in percent."""
    changes = {symbol: (values[-1] / values[0] - 1) * 100 for symbol, values in prices.items()}
    best, worst = max(changes, key=changes.__getitem__), min(changes, key=changes.__getitem__)
    return {"best": _change(best, prices[best]), "worst": _change(worst, prices[worst])}


def join(sentences: Sequence[str | None]) -> str:
    """The sentences there are, one a line."""
    return "\n".join(sentence for sentence in sentences if sentence)


def last_line(asked: Asked) -> str:
    """What the stand-in says: the last line it was given, marked."""
    return f"[stand-in, no model] {asked.prompt.rstrip().rpartition(chr(10))[2]}"


def _change(symbol: str, prices: Sequence[float]) -> dict[str, Any]:
    percent = round((prices[-1] / prices[0] - 1) * 100, 1)
    said = f"{symbol} went from {prices[0]:.2f} to {prices[-1]:.2f} US dollars, {percent:+.1f} %."
    return {"symbol": symbol, "percent": percent, "said": said}


def _iso(text: str) -> str:
    month, _, rest = text.partition(" ")
    if month not in _MONTHS:
        return date.fromisoformat(text).isoformat()
    day, _, year = rest.partition(" ")
    return date(int(year), _MONTHS.index(month) + 1, int(day)).isoformat()
