"""Events out of what callers naturally have: datetimes, exceptions, plain dicts, decimal dollars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, cast

from msgspec import Struct, structs

from execlog.core.clock import micros
from execlog.core.codec import convert
from execlog.core.errors import InvalidError
from execlog.core.fold import begin, outcome
from execlog.core.ids import check_id
from execlog.core.model import OPEN, Error, Event, Item, LogLine, Status, Usage
from execlog.core.storable import safe_repr
from execlog.recorder.fault import error_of, status_of

_NANO = Decimal(10**9)
NO_STATUS = "its status was %s, which is none"
_WORDS = {status.value: status for status in Status} | {
    "success": Status.SUCCEEDED,
    "completed": Status.SUCCEEDED,
    "partial_success": Status.PARTIAL,
    "error": Status.FAILED,
    "timeout": Status.TIMED_OUT,
    "pending": Status.QUEUED,
    "in_progress": Status.RUNNING,
}
"""What the families' words mean where they mean one thing."""
KIND, LEVEL = "task", "info"
_TEXTS = (
    "id", "kind", "namespace", "name", "subject", "actor", "engine", "parent_id", "root_id", "retry_of", "origin",
)  # fmt: skip


def event_of(fields: dict[str, Any]) -> Event:
    """The event these fields make, each taken as callers have it; times are filled in where they are missing.

    None says nothing; without a kind it is a task. Raises InvalidError or TypeError for a field that does not exist or
    cannot be read.
    """
    plain: dict[str, Any] = {"kind": KIND} | {name: value for name, value in fields.items() if value is not None}
    for name, read in _READERS.items():
        if name in plain:
            plain[name] = read(plain[name])
    for name in _TEXTS:
        if not isinstance(plain.get(name, ""), str):
            raise InvalidError(f"{name} must be a text, not {plain[name]!r:.60}", field=name)
    check_id(plain["id"], kind=plain["kind"])
    status = plain["status"] = Status(plain["status"]) if "status" in plain else None
    at = plain["at"]
    if "logs" in plain:
        plain["logs"] = tuple(_log(line, number, at) for number, line in enumerate(_listed(plain["logs"], "logs")))
    if status is not None and status not in OPEN:
        ended = plain["ended_at"] = plain.get("ended_at") or at
        if plain.get("started_at") is None:
            plain["started_at"] = ended - round((plain.get("duration") or 0.0) * 1e6)
    return Event(**plain)


def salvage(fields: Mapping[str, Any], note: Callable[[Exception], None], *, at: int) -> Event:
    """The event as far as these fields make one; the others are kept as metadata, each told to `note`.

    A status in a family's words is understood. One that is none counts as failed: a failure that is none is looked
    into, the other way round nobody would. `at` is when it was said, where that is odd too.
    Raises InvalidError for an id that may not enter.
    """
    kept: dict[str, Any] = {"id": _salvage_id(fields["id"], note), "at": at}
    odd: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None or name == "id":
            continue
        try:
            read = event_of(kept | {name: value})
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not cost the record
            meant, left = _meant(name, value, note)
            kept |= {} if meant is None else {name: meant}
            odd |= {} if left is None else {name: left}
            note(error)
        else:
            kept[name] = getattr(read, name)  # as it was read: thousands of items need not be for every other field
    if "status" in odd:
        kept["status"] = Status.FAILED
        kept.setdefault("error", NO_STATUS % safe_repr(odd["status"])[:60])
    if odd:
        kept["metadata"] = odd | dict(kept.get("metadata", {}))
    return event_of(kept)


def read_once(fields: dict[str, Any], note: Callable[[Exception], None]) -> dict[str, Any]:
    """The fields, with items and log lines that can be looked at only once in a list: who salvages them looks again."""
    once = {name: fields[name] for name in ("items", "logs") if isinstance(fields.get(name), Iterator)}
    return fields | {name: _taken(values, note) for name, values in once.items()} if once else fields


def _taken(values: Iterator[Any], note: Callable[[Exception], None]) -> list[Any]:
    found: list[Any] = []
    try:
        for value in values:
            found.append(value)  # noqa: PERF402 - what came before it fails is kept
    except Exception as error:  # noqa: BLE001 - as in `salvage`
        note(error)
    return found


def _salvage_id(id_: Any, note: Callable[[Exception], None]) -> str:
    if isinstance(id_, str):
        return check_id(id_)
    note(InvalidError(f"an id must be a text, not {safe_repr(id_)[:60]}", field="id"))
    return check_id(text_of(id_))


def _meant(name: str, value: Any, note: Callable[[Exception], None]) -> tuple[Any, Any]:
    """What a value that a field cannot take surely means, and what is left of it; None for what there is not."""
    as_it_was: Any = value
    if name in _TEXTS:
        return text_of(value), None
    if name == "items" and isinstance(value, Iterable) and not isinstance(value, Mapping | str):
        return _salvage_items(cast("Iterable[Any]", value), note), None
    if name == "status":
        meant = status_meant(value)
        return meant, as_it_was if meant is None else None
    if name == "error":
        return _parted_error(value)
    return _parted_usage(value) if name == "usage" else (None, as_it_was)


def _parted_error(value: Any) -> tuple[Error | None, Any]:
    """The error as far as this makes one, and what is left."""
    usual = {"type": "Error", "message": ""}
    known, left = _parted(value, lambda field: _error(usual | field))
    return (_error(usual | known), left or None) if known else (None, value)


def _parted_usage(value: Any) -> tuple[dict[str, Usage] | None, Any]:
    """The usage of each model as far as this makes one, and what is left."""
    if not isinstance(value, Mapping):
        return None, value
    known: dict[str, Usage] = {}
    odd: dict[str, Any] = {}
    for model, use in cast("Mapping[Any, Any]", value).items():
        fields, left = _parted(structs.asdict(use) if isinstance(use, Usage) else use, usage_of)
        known |= {str(model): usage_of(fields)} if fields else {}
        odd |= {str(model): left} if left else {}
    return known or None, odd or None


def _parted(value: Any, read: Callable[[dict[str, Any]], Any]) -> tuple[dict[str, Any], Any]:
    """The fields of a mapping that can be read, and the others; what is no mapping is left as it is."""
    if not isinstance(value, Mapping):
        return {}, value
    known: dict[str, Any] = {}
    odd: dict[str, Any] = {}
    for name, entry in cast("Mapping[Any, Any]", value).items():
        try:
            read({name: entry})
        except Exception:  # noqa: BLE001 - as in `salvage`
            odd[str(name)] = entry
        else:
            known[name] = entry
    return known, odd


def text_of(value: Any) -> str:
    """The value as a text."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - as in `salvage`
        return safe_repr(value)


def status_meant(word: Any) -> Status | None:
    """The status that a family's word for it means, None where it means none."""
    return _WORDS.get(word.lower()) if isinstance(word, str) else None


def status_without_word(event: Event, error: Any) -> Status:
    """What an execution that is over came to, where nobody said: as its error says, or else as its items do."""
    if error is not None:
        return status_of(error) if isinstance(error, BaseException) else Status.FAILED
    return outcome(begin(event).counts) if event.items else Status.SUCCEEDED


def salvage_item(fields: Mapping[str, Any], note: Callable[[Exception], None]) -> Item:
    """The item as far as these fields make one; the others are kept in its `data`, each told to `note`."""
    kept: dict[str, Any] = {"key": fields["key"], "status": Status.FAILED.value}
    odd: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            item_of(kept | {name: value})
        except Exception as error:  # noqa: BLE001 - as in `salvage`
            meant, left = _meant(name, value, note) if name in {"status", "error"} else (None, value)
            kept |= {} if meant is None else {name: meant}
            odd |= {} if left is None else {name: left}
            note(error)
        else:
            kept[name] = value
    return item_of(kept | ({"data": odd | (kept.get("data") or {})} if odd else {}))


def _salvage_items(values: Iterable[Any], note: Callable[[Exception], None]) -> tuple[Item, ...]:
    """The items; those that cannot be read are read field by field, and what has no fields is a key by its text."""
    items: list[Item] = []
    for position, value in enumerate(values):
        try:
            items.append(item_of(value, position))
        except Exception as error:  # noqa: BLE001 - as in `salvage`
            if isinstance(value, Mapping):
                usual = {"key": str(position), "position": position, "status": "succeeded"}
                items.append(salvage_item(usual | dict(cast("Mapping[str, Any]", value)), note))
            else:
                items.append(item_of(text_of(value), position))
                note(error)
    return tuple(items)


def nano_of(dollars: float | str | Decimal) -> int:
    """An amount of US dollars as an exact count of 10⁻⁹ dollars; a float is read as it prints."""
    return int((Decimal(str(dollars)) * _NANO).to_integral_value(rounding=ROUND_HALF_EVEN))


def usage_of(value: Usage | Mapping[str, Any]) -> Usage:
    """A Usage out of one, or of its fields as a mapping; `cost` in dollars is read too. Raises InvalidError."""
    if isinstance(value, Usage):
        return value
    fields = dict(value)
    _check_fields(fields.keys() - {"cost"}, Usage, "usage")
    cost = fields.pop("cost", None)
    return convert(fields | ({} if cost is None else {"cost_nano": nano_of(cost)}), Usage)


def item_of(value: Item | Mapping[str, Any] | str, position: int = 0, at: int = 0) -> Item:
    """An Item out of one, of its fields as a mapping, or of its key alone (then it succeeded).

    Raises InvalidError or TypeError for what makes none.
    """
    if isinstance(value, Item):
        return value
    if isinstance(value, str):
        return Item(key=value, status=Status.SUCCEEDED, position=position, at=at)
    fields: dict[str, Any] = {"position": position, "at": at, "status": "succeeded"} | dict(value)
    fault = fields.pop("error", None)
    _check_fields(fields.keys(), Item, "items")
    for name, read in _ITEM_READERS.items():
        if fields.get(name) is not None:
            fields[name] = read(fields[name])
    item = convert(fields, Item)
    if fault is None:
        return item
    return structs.replace(item, error=_error(fault))


def _time(value: datetime | int) -> int:
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, int) and not isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance] - callers hand in anything
        return value
    message = f"a time must be a datetime or an integer of UTC µs, not {value!r:.60}"
    raise InvalidError(message)


def _error(value: Error | BaseException | str | Mapping[str, Any]) -> Error:
    if not isinstance(value, Mapping):
        return error_of(value)
    _check_fields(value.keys(), Error, "error")
    return convert(dict(value), Error)


def _check_fields(names: Iterable[str], type_: type[Struct], field: str) -> None:
    """Nothing, where all of these are fields of the type; raises InvalidError."""
    if unknown := set(names) - set(type_.__struct_fields__):
        raise InvalidError(f"{field}: there is no {', '.join(sorted(map(str, unknown)))}", field=field)


def _items(values: Iterable[Any]) -> tuple[Item, ...]:
    return tuple(item_of(value, position) for position, value in enumerate(_listed(values, "items")))


def _listed(values: Any, field: str) -> Iterable[Any]:
    if isinstance(values, Mapping | str):
        raise InvalidError(f"{field} must be a list, not {values!r:.60}", field=field)
    return values


def _usage(value: Mapping[str, Any]) -> dict[str, Usage]:
    return {str(model): usage_of(use) for model, use in value.items()}


def _tags(value: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): str(entry) for key, entry in value.items()}


def mapping_of(value: Any) -> dict[str, Any]:
    """A dict of its own out of any mapping, with texts as keys. Raises InvalidError for what is none."""
    if not isinstance(value, Mapping):
        message = f"expected a mapping, not {value!r:.60}"
        raise InvalidError(message)
    return {str(key): entry for key, entry in cast("Mapping[Any, Any]", value).items()}


def _log(value: Any, number: int, at: int) -> LogLine:
    """A LogLine out of one, of its fields as a mapping, or of its message alone. Raises InvalidError or TypeError."""
    if isinstance(value, str):
        return LogLine(at, number, LEVEL, value)
    if not isinstance(value, Mapping):
        return convert(value, LogLine)
    fields: dict[str, Any] = {"at": at, "number": number, "level": LEVEL} | dict(cast("Mapping[str, Any]", value))
    _check_fields(fields, LogLine, "logs")
    return convert([_time(fields.pop("at")), *(fields.get(name) for name in LogLine.__struct_fields__[1:])], LogLine)


_ITEM_READERS: dict[str, Callable[[Any], Any]] = {
    "at": _time,
    "key": str,
    "started_at": _time,
    "ended_at": _time,
    "duration": float,
    "rows": int,
    "data": mapping_of,
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "at": _time,
    "queued_at": _time,
    "started_at": _time,
    "ended_at": _time,
    "duration": float,
    "rows": int,
    "total": int,
    "declared_succeeded": int,
    "declared_failed": int,
    "error": _error,
    "items": _items,
    "usage": _usage,
    "tags": _tags,
    "context": _tags,
    "params": mapping_of,
    "metadata": mapping_of,
}
