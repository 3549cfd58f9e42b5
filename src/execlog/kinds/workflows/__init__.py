"""Workflows: their history, and the engine that runs them.

The history comes with the import; the engine, with jinja2 and an HTTP client, when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from execlog.kinds.workflows.record import ExecutionSummary, StepRecord, TokenUsage, WorkflowExecution
from execlog.kinds.workflows.routes import workflow_kind
from execlog.kinds.workflows.service import ExecutionHistoryService

if TYPE_CHECKING:
    from execlog.core.pricing import Rate, Tariff
    from execlog.kinds.workflows.budget import ProjectBudget
    from execlog.kinds.workflows.definition import Limits, Workflow
    from execlog.kinds.workflows.document import parse_workflow, read_workflow
    from execlog.kinds.workflows.engine import ExecutionEngine
    from execlog.kinds.workflows.flow import Flow
    from execlog.kinds.workflows.models.endpoint import Endpoint, endpoints_of
    from execlog.kinds.workflows.steps.context import current_step

_LATER = {
    "Endpoint": f"{__name__}.models.endpoint", "ExecutionEngine": f"{__name__}.engine", "Flow": f"{__name__}.flow",
    "Limits": f"{__name__}.definition", "ProjectBudget": f"{__name__}.budget", "Rate": "execlog.core.pricing",
    "Tariff": "execlog.core.pricing", "Workflow": f"{__name__}.definition",
    "current_step": f"{__name__}.steps.context", "endpoints_of": f"{__name__}.models.endpoint",
    "parse_workflow": f"{__name__}.document", "read_workflow": f"{__name__}.document",
}  # fmt: skip

__all__ = [
    "Endpoint", "ExecutionEngine", "ExecutionHistoryService", "ExecutionSummary", "Flow", "Limits", "ProjectBudget",
    "Rate", "StepRecord", "Tariff", "TokenUsage", "Workflow", "WorkflowExecution", "current_step", "endpoints_of",
    "parse_workflow", "read_workflow", "workflow_kind",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
