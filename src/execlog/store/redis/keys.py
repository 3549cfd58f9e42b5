"""The keys of the Redis store.

    scheduler:execution_history:{id}                       a job's execution as its family's JSON, with a time to live
    scheduler:job_history_index:{job_id}                   a native list of ids, newest first, cut at a limit
    {prefix}execution_history:{kind}:{namespace}:{id}      the same for the other kinds
    {prefix}history_index:{kind}:{namespace}:{subject}

A ":" in a kind or a namespace is written "%3A", a "%" "%25": two executions never share a key.

Beside them, under the prefix: `order` (a sorted set of all members by created_at), `places:{id}` (the members of an
id), `kin:{id}` (the members it is the parent or the root of), `kin` (members that began before this may be in none),
`open` (open members and their process), `deleted:…` (what must stay deleted), `process:{origin}`, `changes` (a stream)
and `change` (its last number). A member is "id␟kind␟namespace": members of one instant sort as pages do.

In a cluster these have the tag `{own}` after the prefix and so are in one slot, with the `notes` about what is being
saved; beside each index are the times of its ids, `{prefix}times:{…}:{index}`, in its slot.
"""

from __future__ import annotations

from binascii import crc_hqx
from itertools import count

from msgspec import Struct

from execlog.core.model import Execution, Key

JOB = "job"
SEPARATOR = "\x1f"
_SLOTS = 16_384


class Keys(Struct, frozen=True):
    """The names of all keys."""

    prefix: str = "execlog:"
    job_record: str = "scheduler:execution_history:"
    job_index: str = "scheduler:job_history_index:"
    clustered: bool = False

    def record(self, key: Key) -> str:
        """Where an execution's record is."""
        if key.kind == JOB and not key.namespace:
            return self.job_record + key.id
        return f"{self.prefix}execution_history:{_joined(key.kind, key.namespace, key.id)}"

    def index(self, kind: str, namespace: str, subject: str) -> str:
        """Where the ids of a subject's executions are."""
        if kind == JOB and not namespace:
            return self.job_index + subject
        return f"{self.prefix}history_index:{_joined(kind, namespace, subject)}"

    def index_of(self, execution: Execution) -> str:
        """The index an execution is in; without a subject it is its actor's."""
        return self.index(execution.kind, execution.namespace, execution.subject or execution.actor or "")

    def own(self, *parts: str) -> str:
        """A key under the prefix; those of a store are in one slot."""
        return self.prefix + ":".join(("{own}", *parts) if self.clustered else parts)

    def found_by(self, execution: Execution) -> tuple[str, str, str]:
        """The sets that an execution is found in: by its id, and by those of its parent and its root where it has such.

        One that it does not have is the first again.
        """
        places = self.own("places", execution.id)
        parent, root = (self.own("kin", id_) if id_ else places for id_ in (execution.parent_id, execution.root_id))
        return places, parent, root

    def jobs(self, *parts: str) -> str:
        """A key of the jobs that are scheduled; these are in one slot."""
        return self.prefix + ":".join(("{jobs}", *parts))

    def times(self, index: str) -> str:
        """Where a cluster has the times of an index's ids: in the slot of the index."""
        return f"{self.prefix}times:{{{_tag_of(index)}}}:{index}"

    def deleted(self, key: Key) -> str:
        """The mark that an execution stays deleted."""
        return self.own("deleted", _joined(*key))


def member(key: Key) -> str:
    """An execution in the sorted set of all."""
    return SEPARATOR.join((key.id, key.kind, key.namespace))


def _joined(kind: str, namespace: str, last: str) -> str:
    return ":".join((*(part.replace("%", "%25").replace(":", "%3A") for part in (kind, namespace)), last))


def _tag_of(key: str) -> str:
    """A tag that leads to a key's slot."""
    start = key.find("{") + 1
    end = key.find("}", start) if start else -1
    tag = key[start:end] if end > start else key
    if "}" not in tag and "{" not in tag:
        return tag
    slot = crc_hqx(tag.encode(), 0) % _SLOTS
    return next(str(number) for number in count() if crc_hqx(str(number).encode(), 0) % _SLOTS == slot)


def key_of(text: str) -> Key:
    """The execution of a member."""
    id_, kind, namespace = text.split(SEPARATOR, 2)
    return Key(kind, namespace, id_)


def beginning(prefix: str) -> str:
    """The pattern of the keys that begin with a prefix, which means only itself."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in prefix) + "*"
