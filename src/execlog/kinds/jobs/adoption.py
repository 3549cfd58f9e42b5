"""The scheduler's records in a Redis that another program wrote: `scheduler:execution_history:{id}`, JSON each."""

from __future__ import annotations

from collections.abc import Iterator

from execlog.core.clock import micros
from execlog.core.errors import InvalidError
from execlog.core.model import Event
from execlog.core.quantity import seconds_of
from execlog.core.settings import Settings
from execlog.history.adoption import Found, reading
from execlog.history.copying import events_of
from execlog.kinds.jobs.record import KIND, JobExecutionRecord
from execlog.store.layout import record_in, to_execution
from execlog.store.redis.connecting import connect
from execlog.store.redis.connection import Connection
from execlog.store.redis.keys import beginning
from execlog.store.redis.packing import shown

_CHUNK = 500


def jobs_in_redis(url: str, settings: Settings) -> Iterator[Found]:
    """Every job's execution in the Redis at this URL, in no order. Raises MissingExtraError, StoreError."""
    connection = connect(url)
    try:
        with connection.answers():
            keys: list[str] = []
            for key in connection.client.scan_iter(match=beginning(settings.redis_job_record), count=_CHUNK):
                keys.append(key)
                if len(keys) == _CHUNK:
                    yield from _read(connection, keys, settings.redis_job_record)
                    keys = []
            yield from _read(connection, keys, settings.redis_job_record)
    finally:
        connection.close()


def _read(connection: Connection, keys: list[str], prefix: str) -> Iterator[Found]:
    """The records of keys; one that ran out of its time to live meanwhile is left out."""
    types = dict(zip(keys, connection.read([("TYPE", key) for key in keys]), strict=True))
    texts = [key for key in keys if types[key] == "string"]
    for key, text in zip(texts, connection.get_many(texts), strict=True):
        if text is not None:
            yield reading(shown(key), lambda key=key, text=text: _said(shown(text), shown(key).removeprefix(prefix)))
    for key in keys:
        if types[key] not in ("string", "none"):
            yield Found(shown(key), InvalidError(f"a {types[key]}, where a record is a text"))


def _said(text: str, id_: str) -> Iterator[Event]:
    """What the record under the key of `id_` says; one without an id has that, a job without a name its own id."""
    record = {"execution_id": id_} | record_in(text)
    record = {"job_name": record.get("job_id")} | record
    record["duration_seconds"] = seconds_of(record.get("duration_seconds"))
    told = JobExecutionRecord.from_dict(record)
    # As old as what it tells: a later word about the same execution holds.
    at = micros(told.end_time or told.start_time)
    if told.execution_id != id_:  # a copy, or a damaged id: it would speak for another
        raise InvalidError(f"the execution in it is {told.execution_id!r:.120}, whose key is another", field="key")
    # What execlog keeps in the record, where it wrote it, is the whole of it.
    return events_of(to_execution(record, KIND, at=at))
