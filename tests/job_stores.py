"""What tests of job stores put into them, and the store in Redis at a URL."""

from contextlib import contextmanager

from execlog.store.jobs import Advance, Entry, Firing
from execlog.store.redis.connecting import connect
from execlog.store.redis.jobs import RedisJobStore
from execlog.store.redis.keys import Keys


@contextmanager
def redis_jobs(url):
    connection = connect(url)
    yield RedisJobStore(connection, Keys())
    connection.close()


def entry(job_id="a", **fields):
    return Entry(**({"id": job_id, "definition": {"name": job_id}, "created_at": 1} | fields))


def firing(job_id="a", instant=10, **fields):
    defaults = {"execution_id": f"{job_id}-{instant}", "due_at": instant}
    return Firing(job_id=job_id, instant=instant, **(defaults | fields))


def step(job_id="a", was_at=10, next_at=20, version=1, **fields):
    defaults = {"due_at": next_at, "last_at": was_at, "firings": (firing(job_id, was_at),)}
    return Advance(job_id=job_id, version=version, was_at=was_at, next_at=next_at, **(defaults | fields))
