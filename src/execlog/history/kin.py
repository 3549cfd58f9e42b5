"""What is known of the runs of the same subject before one: those that went well, and those that did not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct
from msgspec.structs import replace

from execlog.core.errors import NotFoundError
from execlog.core.filter import Filter
from execlog.core.model import TERMINAL, Execution, Item, Status
from execlog.store.base import DETAIL, Part, Store
from execlog.store.preparing import FAILURES

LOOK_BACK = 20
"""How many runs of each sort are looked at."""
MOST_ITEMS, LEAST_RUNS = 5_000, 3
"""Items that are read at most, unless fewer runs than these had so many: of large runs fewer are looked at."""
_ITEMS: frozenset[Part] = frozenset({"items"})


class Kin(Struct, frozen=True, kw_only=True):
    """The runs of the same subject before an execution, newest first, at most 20 of each.

    succeeded     the last that succeeded
    failed        the last that did not; cancelled ones are no failures
    good          those in which went well what went wrong in it: that succeeded, and those that were partial for the
                  sake of other items. The newest is what it is compared with
    alike         those that failed as it did: by the same error, or in the same items
    items         what became of each of its failed items in the runs before, newest first: whether it failed
    """

    succeeded: tuple[Execution, ...] = ()
    failed: tuple[Execution, ...] = ()
    good: tuple[Execution, ...] = ()
    alike: tuple[Execution, ...] = ()
    items: dict[str, tuple[bool, ...]] = {}

    @property
    def last_success(self) -> Execution | None:
        """The last one that succeeded."""
        return self.succeeded[0] if self.succeeded else None

    @property
    def recent(self) -> tuple[Execution, ...]:
        """The last that ended, well or not."""
        return _newest(self.succeeded, self.failed)

    @property
    def streak(self) -> tuple[Execution, ...]:
        """Those that failed since it last went well; at most 20."""
        return tuple(one for one in self.failed if not self.good or _order(one) > _order(self.good[0]))


def question(execution: Execution, *, actor: str | None = None) -> Filter:
    """The question for all runs of the same subject."""
    return Filter(kind=execution.kind, namespace=execution.namespace, subject=execution.subject, actor=actor)


def kin_of(store: Store, execution: Execution, *, actor: str | None = None) -> Kin:
    """The runs of its subject before a whole execution: two reads of at most 20, a third where items failed."""
    if not execution.subject:
        return Kin()
    before = replace(question(execution, actor=actor), until=execution.created_at)
    succeeded = store.find(replace(before, statuses=(Status.SUCCEEDED,)), limit=LOOK_BACK, parts=DETAIL).entries
    failed = store.find(replace(before, statuses=tuple(FAILURES)), limit=LOOK_BACK, parts=DETAIL).entries
    keys = {item.key for item in execution.items if is_failed(item)}
    recent = _newest(succeeded, failed)
    outcomes = _outcomes(store, before, recent) if keys else {}
    history = {
        key: tuple(outcomes[one.id][key] for one in recent if key in outcomes.get(one.id, ())) for key in sorted(keys)
    }
    trouble = {key for key, past in history.items() if not past or not all(past)}
    spared = [
        one for one in failed if one.status is Status.PARTIAL and trouble and one.id in outcomes
        and not any(outcomes[one.id].get(key) for key in trouble)
    ]  # fmt: skip
    if not keys and not succeeded:
        spared = [one for one in failed if one.status is Status.PARTIAL]
    return Kin(
        succeeded=succeeded,
        failed=failed,
        good=_comparable(execution, _newest(succeeded, spared)),
        alike=tuple(one for one in failed if _alike(execution, one, trouble or keys, outcomes)),
        items=history,
    )


def baseline(store: Store, execution: Execution, *, actor: str | None = None) -> Execution:
    """The whole run before it that went well where it did not. Raises NotFoundError where there was none."""
    kin = kin_of(store, execution, actor=actor)
    found = kin.good[0] if kin.good else kin.last_success
    whole = store.get(found.id, kind=found.kind, namespace=found.namespace) if found else None
    if whole is None:
        raise NotFoundError(f"{execution.subject or execution.id} has not succeeded before that; name the other one")
    return whole


def is_failed(item: Item) -> bool:
    """Whether an item ended, and not well."""
    return item.status in TERMINAL and item.status is not Status.SUCCEEDED


def _outcomes(store: Store, before: Filter, recent: Sequence[Execution]) -> dict[str, dict[str, bool]]:
    """Of each of these runs, which items failed in it."""
    few = sum(whole <= MOST_ITEMS for whole in accumulate(one.counts.total for one in recent))
    recent = recent[: max(few, LEAST_RUNS)]
    if not recent:
        return {}
    asked = replace(before, ids=tuple(one.id for one in recent))
    found = store.find(asked, limit=LOOK_BACK, parts=_ITEMS).entries
    return {one.id: {item.key: is_failed(item) for item in one.items if item.status in TERMINAL} for one in found}


def _alike(execution: Execution, one: Execution, keys: set[str], outcomes: dict[str, dict[str, bool]]) -> bool:
    if execution.error is not None:
        return one.error is not None and one.error.fingerprint == execution.error.fingerprint
    return any(outcomes.get(one.id, {}).get(key) for key in keys)


def _comparable(execution: Execution, good: tuple[Execution, ...]) -> tuple[Execution, ...]:
    """Of queries over one connection, whose metadata has the fingerprint of their statement, those of its shape."""
    shape = (execution.metadata or {}).get("fingerprint")
    return good if shape is None else tuple(one for one in good if (one.metadata or {}).get("fingerprint") == shape)


def _newest(*some: Sequence[Execution]) -> tuple[Execution, ...]:
    return tuple(sorted((one for part in some for one in part), key=_order, reverse=True)[:LOOK_BACK])


def _order(execution: Execution) -> tuple[int, str]:
    return execution.created_at, execution.id
