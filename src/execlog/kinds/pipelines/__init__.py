"""Pipelines: backfills, features and how fresh they are (section C of the contract)."""

from execlog.kinds.pipelines.history import PipelineHistory
from execlog.kinds.pipelines.routes import feature_kind, pipeline_kind

__all__ = ["PipelineHistory", "feature_kind", "pipeline_kind"]
