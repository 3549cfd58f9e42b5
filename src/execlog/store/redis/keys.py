"""The keys of the Redis store.

    scheduler:execution_history:{id}                       a job's execution as its family's JSON, with a time to live
    scheduler:job_history_index:{job_id}                   a native list of ids, newest first, cut at a limit
    {prefix}execution_history:{kind}:{namespace}:{id}      the same for the other kinds
    {prefix}history_index:{kind}:{namespace}:{subject}

Beside them, under the prefix: `order` (a sorted set of all members by created_at), `places:{id}` (the members of an
id), `open` (open members and their process), `deleted:…` (what must stay deleted), `process:{origin}`, `changes` (a
stream) and `change` (its last number). A member is "id␟kind␟namespace": members of one instant sort as pages do.
"""

from __future__ import annotations

from msgspec import Struct

from execlog.core.model import Execution, Key

JOB = "job"
SEPARATOR = "\x1f"


class Keys(Struct, frozen=True):
    """The names of all keys."""

    prefix: str = "execlog:"
    job_record: str = "scheduler:execution_history:"
    job_index: str = "scheduler:job_history_index:"

    def record(self, key: Key) -> str:
        """Where an execution's record is."""
        if key.kind == JOB and not key.namespace:
            return self.job_record + key.id
        return f"{self.prefix}execution_history:{key.kind}:{key.namespace}:{key.id}"

    def index(self, kind: str, namespace: str, subject: str) -> str:
        """Where the ids of a subject's executions are."""
        if kind == JOB and not namespace:
            return self.job_index + subject
        return f"{self.prefix}history_index:{kind}:{namespace}:{subject}"

    def index_of(self, execution: Execution) -> str:
        """The index an execution is in; without a subject it is its actor's."""
        return self.index(execution.kind, execution.namespace, execution.subject or execution.actor or "")

    def own(self, *parts: str) -> str:
        """A key under the prefix."""
        return self.prefix + ":".join(parts)

    def deleted(self, key: Key) -> str:
        """The mark that an execution stays deleted."""
        return self.own("deleted", *key)


def member(key: Key) -> str:
    """An execution in the sorted set of all."""
    return SEPARATOR.join((key.id, key.kind, key.namespace))


def key_of(text: str) -> Key:
    """The execution of a member."""
    id_, kind, namespace = text.split(SEPARATOR, 2)
    return Key(kind, namespace, id_)
