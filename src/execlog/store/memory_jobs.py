"""Jobs in memory: the judge of the other job stores in tests, and enough for one process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from execlog.core.errors import NotFoundError
from execlog.core.filter import Page
from execlog.store.jobs import (
    Advance,
    Due,
    Entry,
    Firing,
    FiringKey,
    Settled,
    admit,
    changed,
    decode_job_cursor,
    encode_job_cursor,
    refused,
    taken,
)


class MemoryJobStore:
    """A `JobStore` that lasts as long as its process; it may begin with the contents of another."""

    def __init__(self, entries: Iterable[Entry] = (), firings: Iterable[Firing] = ()) -> None:
        self._lock = threading.Lock()
        self._entries = {entry.id: entry for entry in entries}
        self._firings: dict[FiringKey, Firing] = {firing.key: firing for firing in firings}

    def put(self, entry: Entry, *, expected: int | None) -> Entry:
        """The entry as kept; see `JobStore`."""
        with self._lock:
            kept = self._entries.get(entry.id)
            if expected is None and kept is not None:
                raise taken(entry.id)
            if expected is not None and kept is None:
                raise NotFoundError(f"there is no job {entry.id!r}")
            if kept is not None and (kept.version, kept.last_at) != (expected, entry.last_at):
                raise changed(entry.id, expected or 0, kept.version)
            if kept is not None:
                entry = replace(entry, skipped=kept.skipped)
            entry = replace(entry, version=(kept.version if kept else 0) + 1)
            self._entries[entry.id] = entry
            return entry

    def get(self, job_id: str) -> Entry | None:
        """The job, or None."""
        return self._entries.get(job_id)

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Entry]:
        """A page of jobs, the newest made first."""
        with self._lock:
            ordered = sorted(self._entries.values(), key=_place, reverse=True)
        if cursor:
            before = decode_job_cursor(cursor)
            ordered = [entry for entry in ordered if _place(entry) < before]
        page = tuple(ordered[:limit])
        return Page(page, encode_job_cursor(page[-1]) if len(ordered) > limit else None)

    def remove(self, job_id: str) -> list[Firing] | None:
        """The job's firings as they were; None where there is no such job."""
        with self._lock:
            return None if self._entries.pop(job_id, None) is None else self._cancel(job_id)

    def due(self, now: int, *, limit: int) -> Due:
        """The due jobs, and when to look again."""
        with self._lock:
            ready = sorted(
                (entry for entry in self._entries.values() if entry.enabled and entry.due_at is not None),
                key=lambda entry: (entry.due_at or 0, entry.id),
            )
            later = [entry.due_at for entry in ready if (entry.due_at or 0) > now]
            later += [
                firing.due_at for firing in self._firings.values() if firing.state == "waiting" and firing.due_at > now
            ]
        entries = [entry for entry in ready if (entry.due_at or 0) <= now][:limit]
        return Due(entries, min((at for at in later if at is not None), default=None))

    def advance(self, advances: Sequence[Advance]) -> list[Firing]:
        """The firings made."""
        made: list[Firing] = []
        with self._lock:
            for step in advances:
                entry = self._entries.get(step.job_id)
                if entry is None or (entry.version, entry.next_at) != (step.version, step.was_at) or not entry.enabled:
                    continue
                admitted = [firing for firing in map(self._admit, step.firings) if firing is not None]
                made += admitted
                self._entries[entry.id] = replace(
                    entry,
                    next_at=step.next_at,
                    due_at=step.due_at,
                    last_at=step.last_at,
                    skipped=entry.skipped + step.skipped + len(step.firings) - len(admitted),
                )
        return made

    def enqueue(self, firing: Firing) -> Firing:
        """The firing, waiting."""
        with self._lock:
            if firing.job_id not in self._entries:
                raise NotFoundError(f"there is no job {firing.job_id!r}")
            while firing.key in self._firings:
                firing = replace(firing, instant=firing.instant + 1)
            admitted = self._admit(replace(firing, state="waiting"))
            if admitted is None:
                raise refused(firing)
            return admitted

    def claim(self, holder: str, *, now: int, lease_until: int, limit: int) -> list[Firing]:
        """The firings claimed."""
        claimed: list[Firing] = []
        with self._lock:
            for firing in sorted(self._firings.values(), key=lambda firing: (firing.due_at, firing.key)):
                if len(claimed) >= limit:
                    break
                if self._claimable(firing, now):
                    mine = replace(
                        firing, state="claimed", holder=holder, fence=firing.fence + 1, lease_until=lease_until
                    )
                    self._firings[firing.key] = mine
                    claimed.append(mine)
        return claimed

    def begin(self, firings: Sequence[Firing]) -> list[Firing]:
        """The firings started."""
        with self._lock:
            begun = [replace(kept, state="started") for kept in self._held(firings) if kept.state == "claimed"]
            self._firings.update((firing.key, firing) for firing in begun)
            return begun

    def renew(self, holder: str, *, lease_until: int) -> list[Firing]:
        """The holder's firings to cancel."""
        with self._lock:
            held = [it for it in self._firings.values() if it.holder == holder and it.state != "waiting"]
            mine = [replace(firing, lease_until=lease_until) for firing in held]
            self._firings.update((firing.key, firing) for firing in mine)
            return [firing for firing in mine if firing.cancel]

    def settle(self, firings: Sequence[Firing], *, follow: Sequence[Firing] = ()) -> Settled:
        """How many firings ended, and the retries made."""
        with self._lock:
            ended = {kept.key: kept for kept in self._held(firings)}
            for key in ended:
                del self._firings[key]
            retries = [firing for firing in follow if self._is_owed(firing, ended)]
            self._firings.update((firing.key, firing) for firing in retries)
            return Settled(len(ended), retries)

    def cancel(self, job_id: str) -> list[Firing]:
        """The job's firings as they were."""
        with self._lock:
            return self._cancel(job_id)

    def firings(self, *, job_id: str | None = None, expired_at: int | None = None, limit: int = 1000) -> list[Firing]:
        """Firings by due time."""
        with self._lock:
            found = [
                firing
                for firing in self._firings.values()
                if (job_id is None or firing.job_id == job_id)
                and (expired_at is None or (firing.state == "started" and firing.lease_until < expired_at))
            ]
        return sorted(found, key=lambda firing: (firing.due_at, firing.key))[:limit]

    def close(self) -> None:
        """Nothing to release."""

    def _cancel(self, job_id: str) -> list[Firing]:
        found = sorted(self._of(job_id), key=lambda firing: (firing.due_at, firing.key))
        for firing in found:
            if firing.state == "waiting":
                del self._firings[firing.key]
            else:
                self._firings[firing.key] = replace(firing, cancel=True)
        return found

    def _is_owed(self, retry: Firing, ended: Mapping[FiringKey, Firing]) -> bool:
        before = ended.get(retry.key._replace(attempt=retry.attempt - 1))
        known = retry.job_id in self._entries and retry.key not in self._firings
        return before is not None and not before.cancel and known

    def _of(self, job_id: str) -> list[Firing]:
        return [firing for firing in self._firings.values() if firing.job_id == job_id]

    def _held(self, firings: Iterable[Firing]) -> list[Firing]:
        """These firings as kept, where holder and fence are still the same."""
        kept = ((firing, self._firings.get(firing.key)) for firing in firings)
        return [now for was, now in kept if now is not None and (now.holder, now.fence) == (was.holder, was.fence)]

    def _admit(self, firing: Firing) -> Firing | None:
        others = self._of(firing.job_id)
        state = admit(
            firing,
            running=sum(other.state != "waiting" for other in others),
            waiting=sum(other.state == "waiting" and other.attempt == 1 for other in others),
        )
        if state is None:
            return None
        if state == "waiting":
            firing = replace(firing, state=state, holder="", fence=0, lease_until=0)
        if firing.key in self._firings:
            return None
        self._firings[firing.key] = firing
        return firing

    def _claimable(self, firing: Firing, now: int) -> bool:
        if firing.state == "claimed":
            return firing.lease_until < now
        entry = self._entries.get(firing.job_id)
        if firing.state != "waiting" or firing.due_at > now or entry is None or not (entry.enabled or firing.manual):
            return False
        others = self._of(firing.job_id)
        return firing.overlap == "allow" or not any(_before(other, firing, enabled=entry.enabled) for other in others)


def _before(other: Firing, firing: Firing, *, enabled: bool) -> bool:
    """Whether `firing` has to wait for `other` of the same job; nobody waits for one that a pause holds back."""
    if other.state != "waiting":
        return True
    return (enabled or other.manual) and (other.due_at, other.key) < (firing.due_at, firing.key)


def _place(entry: Entry) -> tuple[int, str]:
    return entry.created_at, entry.id
