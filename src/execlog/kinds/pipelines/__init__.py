"""Pipelines: backfills, features and how fresh they are."""

from execlog.kinds.pipelines.backfill import Backfill, Report
from execlog.kinds.pipelines.bars import Bar, RowSource
from execlog.kinds.pipelines.demo import run_pipeline_demo
from execlog.kinds.pipelines.history import PipelineHistory
from execlog.kinds.pipelines.progress import Progress, progress_of
from execlog.kinds.pipelines.routes import feature_kind, pipeline_kind
from execlog.kinds.pipelines.warehouse import SqliteWarehouse

__all__ = [
    "Backfill", "Bar", "PipelineHistory", "Progress", "Report", "RowSource", "SqliteWarehouse", "feature_kind",
    "pipeline_kind", "progress_of", "run_pipeline_demo",
]  # fmt: skip
