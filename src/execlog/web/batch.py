"""A posted batch: one JSON object, a JSON array, or NDJSON; the good entries are kept, the others are told by line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from execlog.core import storable
from execlog.core.errors import ForbiddenError, InvalidError
from execlog.core.model import Event, Key
from execlog.history.intake import check_depth, event_of, lease_of, read
from execlog.web.problem import FieldError, ProblemError, as_problem

NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")
MOST_ENTRIES = 10_000
MOST_ERRORS = 100
_ODD = re.compile(rb"\\u0000|\d{19}")


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of a batch.

    ids       of the accepted entries, in their order; new ones where none were brought
    errors    the first 100 of the rejected ones; `line` is the line of NDJSON, or the entry of an array, from 1
    mended    what was made storable, counted by reason: nul, integer, depth, truncated
    """

    accepted: int
    rejected: int
    ids: tuple[str, ...]
    errors: tuple[FieldError, ...]
    mended: dict[str, int]


class Batch:
    """The entries of one request."""

    def __init__(
        self,
        *,
        new_id: Callable[[], str],
        stamp: Callable[[], int],
        now: int,
        actor: str | None,
        foreign: Callable[[Sequence[Key]], Collection[Key]],
    ) -> None:
        """`stamp` gives strictly increasing UTC µs; `actor` limits what may be said to that actor's executions.

        `foreign` says which of these executions are known and another's; it is asked where an actor is limited.
        """
        self.events: list[Event] = []
        self.leases: list[Event] = []
        self.errors: list[FieldError] = []
        self.mended: Counter[str] = Counter()
        self._new_id = new_id
        self._stamp = stamp
        self._forbidden = 0
        self._now = now
        self._actor = actor
        self._foreign = foreign
        self._brought: list[tuple[int, Key]] = []

    def take(self, body: bytes, media_type: str) -> None:
        """Read a body's entries.

        Raises ProblemError 400 for no JSON, 413 for too many, 422 where none is good, 403 where all are of others.
        """
        lines = _lines(body) if media_type in NDJSON else _entries(body)
        for number, line in lines:
            if number > MOST_ENTRIES:
                raise ProblemError(413, f"send at most {MOST_ENTRIES} executions at once")
            try:
                self.events.append(self._event(line, number))
            except InvalidError as error:
                self._reject(error, number)
            except ForbiddenError as error:
                self._forbid(str(error), "actor", number)
        if self._actor is not None and self._brought:
            self._leave_to_others(self._actor)
        if not self.events:
            self._refuse()

    def receipt(self) -> Receipt:
        """What became of the batch, once its events are accepted."""
        return Receipt(
            accepted=len(self.events),
            rejected=len(self.errors),
            ids=tuple(event.id for event in self.events),
            errors=tuple(self.errors[:MOST_ERRORS]),
            mended=dict(self.mended),
        )

    def _event(self, line: bytes, number: int) -> Event:
        said = read(line)
        event = event_of(said, id_=self._new_id(), at=self._stamp())
        if self._actor is not None:
            if event.actor not in {None, self._actor}:
                raise ForbiddenError(f"your token is limited to {self._actor!r}: it may not record for others")
            event = replace(event, actor=self._actor)
        if len(line) > storable.MAX_TEXT or _ODD.search(line):
            event = storable.mend_struct(event, self.mended)
        lease = lease_of(said, event, at=self._stamp(), now=self._now)
        if lease is not None:
            self.leases.append(lease)
        if said.id is not None:
            self._brought.append((number, event.key))
        return event

    def _leave_to_others(self, actor: str) -> None:
        """Take out what is about executions of others: who says something about one is its actor from then on."""
        foreign = self._foreign([key for _, key in self._brought])
        for number, key in self._brought:
            if key in foreign:
                self._forbid(f"your token is limited to {actor!r}: {key.id!r} is another's execution", "id", number)
        self.events = [event for event in self.events if event.key not in foreign]
        self.leases = [lease for lease in self.leases if lease.key not in foreign]
        self.errors.sort(key=lambda error: error.line or 0)

    def _forbid(self, message: str, field: str, number: int) -> None:
        self.errors.append(FieldError(message, field, number))
        self._forbidden += 1

    def _reject(self, error: InvalidError, number: int) -> None:
        problem = as_problem(error)
        message, field = (str(problem), problem.field) if problem else (str(error), error.field)
        self.errors.append(FieldError(message, field, number))

    def _refuse(self) -> None:
        if not self.errors:
            raise ProblemError(422, "no executions in here")
        first = self.errors[0]
        detail = (
            first.message if len(self.errors) == 1 else f"none of {len(self.errors)} fits; the first: {first.message}"
        )
        status = 403 if self._forbidden == len(self.errors) else 422
        raise ProblemError(status, detail, field=first.field, errors=tuple(self.errors[:MOST_ERRORS]))


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.isspace() and line:
            yield number, line


def _entries(body: bytes) -> Iterable[tuple[int, bytes]]:
    """The entries of one JSON document: an array's, or the object itself."""
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        _check_json(body)
        return [(1, body)]
    try:
        check_depth(body)
        entries = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidError) as error:
        raise ProblemError(400, f"not JSON this server reads: {error}") from error
    return ((number, bytes(entry)) for number, entry in enumerate(entries, 1))


def _check_json(body: bytes) -> None:
    """Nothing, for a body that is JSON of whatever form; raises ProblemError 400."""
    try:
        check_depth(body)
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidError) as error:
        raise ProblemError(400, f"not JSON this server reads: {error}") from error
