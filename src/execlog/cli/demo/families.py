"""The demo's families beside jobs, each over the same real prices: a backfill, a workflow, queries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from msgspec import Struct

from execlog.core.filter import MAX_LIMIT, Filter
from execlog.core.model import Execution
from execlog.kinds.jobs.fetcher import SAMPLE
from execlog.kinds.pipelines.demo import run_pipeline_demo
from execlog.kinds.queries.demo import run_query_demo
from execlog.kinds.workflows.demo import run_workflow_demo
from execlog.ledger import Ledger
from execlog.store.base import Part

_FLUSH_SECONDS = 30.0


class Shown(Struct, frozen=True):
    """A family of the demo: its executions, oldest first."""

    family: str
    executions: tuple[Execution, ...]


class Family(Struct, frozen=True):
    """A family to show: its kind, a heading that says what is real, and what runs it.

    needs, extra, without    the module it is whole with, the extra that brings it, and what there is without it
    """

    kind: str
    heading: str
    run: Callable[[Ledger], object]
    needs: str = ""
    extra: str = ""
    without: str = ""

    @property
    def note(self) -> str:
        """What is left out here, and how to have it; "" where nothing is."""
        if not self.needs or importlib.util.find_spec(self.needs) is not None:
            return ""
        return f"{self.without} without {self.needs}: pip install 'execlog[{self.extra}]'"


FAMILIES = (
    Family(
        "pipeline",
        "A backfill of features over the same prices: to 2003, when GOOG has none yet, then to the end",
        lambda ledger: run_pipeline_demo(ledger, SAMPLE),
        needs="polars",
        extra="frames",
        without="It fetches and inserts, and computes no features",
    ),
    Family(
        "workflow",
        "A report a year. Its sentences come from a stand-in on this machine: no model is asked, and nobody is paid",
        lambda ledger: run_workflow_demo(ledger, SAMPLE),
    ),
    Family(
        "query",
        "SQL through the gateway; some is refused, and one query is stopped at its time-out",
        lambda ledger: run_query_demo(ledger, SAMPLE),
        needs="duckdb",
        extra="duckdb",
        without="It asks SQLite only",
    ),
)


def run_family(ledger: Ledger, family: Family) -> Shown:
    """The family once it ran. Raises TimeoutError for a store that lags behind."""
    family.run(ledger)
    if not ledger.flush(timeout=_FLUSH_SECONDS):
        raise TimeoutError(f"the store did not take the demo's {family.kind} executions within {_FLUSH_SECONDS:g} s")
    asked = Filter(kind=family.kind, sort="oldest")
    return Shown(family.kind, ledger.store.find(asked, limit=MAX_LIMIT, parts=frozenset[Part]({"items"})).entries)
