"""Query executions: their record, history, statistics and the gateway that runs them."""

from execlog.kinds.queries.tracker import ExecutionTracker

__all__ = ["ExecutionTracker"]
