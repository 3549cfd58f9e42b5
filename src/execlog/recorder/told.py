"""What callers tell a run, as far as it can be read: whatever they hand in, what is recorded must not fail for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from execlog.core.errors import InvalidError
from execlog.core.model import OPEN, Error, Item, Status
from execlog.core.storable import safe_repr
from execlog.recorder.compose import NO_STATUS, item_of, mapping_of, nano_of, salvage_item, status_meant
from execlog.recorder.fault import error_of, status_of

T = TypeVar("T")


class Told:
    """Reads what it is handed and never raises; what it can only make something else of is told to `note`."""

    def __init__(self, note: Callable[[Exception], None]) -> None:
        self.note = note

    def text(self, value: Any) -> str:
        """The value as a text."""
        return value if type(value) is str else self._read(str, value, safe_repr)

    def level(self, value: Any) -> str:
        """The name of a log level in lower case: of a number, the one that `logging` has for it."""
        return self.text(logging.getLevelName(value) if type(value) is int else value).lower()

    def number(self, value: Any) -> int:
        """The value as a whole number; 0 where it is none."""
        return value if type(value) is int else self._read(int, value, lambda _: 0)

    def tokens(self, value: Any) -> int:
        """The value as a count of tokens; 0 where it is none."""
        return value if type(value) is int and value >= 0 else self._read(_count, value, lambda _: 0)

    def length(self, value: Any) -> int:
        """How many there are in a collection; 0 where it does not tell."""
        return self._read(len, value, lambda _: 0)

    def dollars(self, value: Any) -> int | None:
        """The amount of US dollars in 10⁻⁹ dollars; None where there is none."""
        return None if value is None else self._read(nano_of, value, lambda _: None)

    def data(self, value: Any) -> dict[str, Any]:
        """What is put as metadata or data; what is no mapping becomes the one entry of one."""
        return self._read(mapping_of, value, lambda odd: {"data": odd}) if value is not None else {}

    def key(self, key: Callable[[Any], Any], value: Any) -> str:
        """The key of an item with this value."""
        return self._read(lambda one: self.text(key(one)), value, safe_repr)

    def fault(self, value: Any) -> tuple[Status, Error]:
        """What a failure means, and says; what is none says its text."""
        status = status_of(value) if isinstance(value, BaseException) else Status.FAILED
        return status, self._read(error_of, value, _unsaid)

    def outcome(self, word: Any) -> tuple[Status, Error | None]:
        """The outcome a word names; one that names none is a failure whose error says so."""
        try:
            return _terminal(word), None
        except Exception as error:  # noqa: BLE001 - see the module's first line
            self.note(error)
        meant = status_meant(word)
        if meant is not None and meant not in OPEN:
            return meant, None
        return Status.FAILED, Error("Error", NO_STATUS % safe_repr(word)[:60])

    def item(self, fields: dict[str, Any]) -> Item:
        """The item these fields make; what is no field of one, or cannot be read, is kept in its `data`."""
        fields["key"] = self.text(fields["key"])
        try:
            return item_of(fields)
        except Exception:  # noqa: BLE001 - the fields are now read one by one
            return salvage_item(fields, self.note)

    def _read(self, reader: Callable[[Any], T], value: Any, otherwise: Callable[[Any], T]) -> T:
        try:
            return reader(value)
        except Exception as error:  # noqa: BLE001 - see the module's first line
            self.note(error)
            return otherwise(value)


def _count(value: Any) -> int:
    count = int(value)
    if count < 0:
        raise InvalidError(f"{count} is no count of tokens")
    return count


def _unsaid(value: Any) -> Error:
    return Error("Error", "no reason was given" if value is None else safe_repr(value))


def _terminal(word: Any) -> Status:
    status = Status(word)
    if status in OPEN:
        raise InvalidError(f"{status} is no outcome")
    return status
