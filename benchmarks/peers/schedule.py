"""Runs so many empty jobs that are all due at one instant: schedule.py apscheduler|procrastinate|rq NUMBER BACKEND.

Prints how many were run a second, and the start delays in ms. Run by the peer's own Python.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta

STARTED: list[float] = []


def note() -> None:
    """The job: it does nothing, and says when."""
    STARTED.append(time.time())


async def note_later() -> None:
    """The same for an event loop."""
    note()


def apscheduler(number: int, backend: str) -> float:
    """When they were due."""
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler

    stores = {"default": SQLAlchemyJobStore(url=backend)}
    scheduler = BackgroundScheduler(jobstores=stores, timezone=UTC, job_defaults={"misfire_grace_time": None})
    scheduler.start(paused=True)
    due = datetime.now(UTC) + timedelta(seconds=2 + number / 100)
    for place in range(number):
        scheduler.add_job("__main__:note", "date", run_date=due, id=str(place))
    scheduler.resume()
    wait_for(number)
    scheduler.shutdown()
    return due.timestamp()


def procrastinate(number: int, backend: str) -> float:
    """When they were due."""
    import asyncio

    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=backend))
    task = app.task(note_later, name="note")

    async def main() -> float:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            due = datetime.now(UTC) + timedelta(seconds=1 + number / 500)
            await task.configure(schedule_at=due).batch_defer_async(*[{} for _ in range(number)])
            options = {"concurrency": 20, "fetch_job_polling_interval": 0.05, "install_signal_handlers": False}
            worker = asyncio.create_task(app.run_worker_async(**options))
            while len(STARTED) < number:  # noqa: ASYNC110 - the same way of waiting for every peer
                await asyncio.sleep(0.01)
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            return due.timestamp()

    return asyncio.run(main())


def rq(number: int, backend: str) -> float:
    """When they were due: when the worker, which runs them in its own process, began."""
    import schedule  # itself, under a name a worker can import
    from redis import Redis
    from rq import Queue, SimpleWorker

    connection = Redis.from_url(backend)
    queue = Queue(connection=connection)
    for _ in range(number):
        queue.enqueue(schedule.note)
    due = time.time()
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")
    STARTED.extend(schedule.STARTED)
    return due


def wait_for(number: int) -> None:
    """Return once so many have run."""
    while len(STARTED) < number:
        time.sleep(0.01)


def main() -> None:
    """Print the figures."""
    which, number, backend = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    due = {"apscheduler": apscheduler, "procrastinate": procrastinate, "rq": rq}[which](number, backend)
    assert len(STARTED) == number, f"{len(STARTED)} of {number} ran"
    delays = [(at - due) * 1e3 for at in STARTED]
    p50, p99 = statistics.median(delays), statistics.quantiles(delays, n=100)[98]
    print(json.dumps({"run_per_s": number / (max(STARTED) - due), "p50": p50, "p99": p99}))


if __name__ == "__main__":
    main()
