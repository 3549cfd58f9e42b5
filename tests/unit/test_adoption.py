"""Taking over records: which are counted, and which are named."""

from __future__ import annotations

from msgspec.structs import replace

from execlog.core.filter import Filter
from execlog.core.model import Event
from execlog.history.adoption import Found, adopt
from execlog.store.memory import MemoryStore

T0 = 1_760_000_000_000_000


class Choosy(MemoryStore):
    """Cannot keep one of the executions."""

    def apply(self, events):
        kept = [event for event in events if event.id != "odd"]
        return replace(super().apply(kept), quarantined=len(events) - len(kept))


def found(*ids):
    return [Found(f"row {id_}", (Event(id=id_, kind="job", at=T0),)) for id_ in ids]


def test_a_record_that_the_store_cannot_keep_is_refused_by_name():
    adopted = adopt(
        Choosy(), [*found("one", "odd", "two"), Found("row 4", ValueError("no"))], clean=lambda event: event
    )
    assert (adopted.read, adopted.written, adopted.refused) == (4, 2, 2)
    assert sorted((one.where, "cannot keep" in one.reason) for one in adopted.reasons) == [
        ("row 4", False), ("row odd", True),
    ]  # fmt: skip


def test_one_that_was_deleted_is_not_taken_for_one_that_cannot_be_kept():
    store = Choosy()
    store.apply([event for one in found("gone") for event in one.said])
    store.delete(Filter())
    adopted = adopt(store, found("gone", "odd"), clean=lambda event: event)
    assert (adopted.refused, adopted.reasons) == (1, ())
