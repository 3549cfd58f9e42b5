"""Query executions: their record, history, statistics and the gateway that runs them (section D of the contract)."""

from execlog.kinds.queries.tracker import ExecutionTracker

__all__ = ["ExecutionTracker"]
