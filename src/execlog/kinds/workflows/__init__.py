"""Workflows: section B of the contract, and the engine that runs them."""

from __future__ import annotations

from execlog.kinds.workflows.record import ExecutionSummary, StepRecord, TokenUsage, WorkflowExecution
from execlog.kinds.workflows.routes import workflow_kind
from execlog.kinds.workflows.service import ExecutionHistoryService

__all__ = [
    "ExecutionHistoryService", "ExecutionSummary", "StepRecord", "TokenUsage", "WorkflowExecution", "workflow_kind",
]  # fmt: skip
