"""Scheduled jobs: their records, history, execution, management and routes."""

from execlog.kinds.jobs.executor import JobExecutor, JobResult
from execlog.kinds.jobs.record import JobExecutionRecord
from execlog.kinds.jobs.registry import ExecutionHistoryRegistry
from execlog.kinds.jobs.routes import jobs_kind
from execlog.kinds.jobs.serving import SchedulerServingApp
from execlog.runner.job import Call, Command, Cron, Fetch, Interval, Job, Misfire, Once, Retries, Session

__all__ = [
    "Call",
    "Command",
    "Cron",
    "ExecutionHistoryRegistry",
    "Fetch",
    "Interval",
    "Job",
    "JobExecutionRecord",
    "JobExecutor",
    "JobResult",
    "Misfire",
    "Once",
    "Retries",
    "SchedulerServingApp",
    "Session",
    "jobs_kind",
]
