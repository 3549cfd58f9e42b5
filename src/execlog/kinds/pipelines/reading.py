"""What callers hand in, read for recording: never refused, and what had to be mended is counted."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from execlog.core.clock import iso, micros, parse_when
from execlog.core.errors import InvalidError
from execlog.core.ids import check_id
from execlog.core.model import Error, Status
from execlog.core.storable import MAX_NAME, mend_text
from execlog.kinds.pipelines.words import status_of
from execlog.recorder.fault import error_of
from execlog.recorder.recorder import Recorder
from execlog.store.pairs import Pair

MAX_MESSAGE = 10_000
_MOST = 2**63 - 1
_NEVER = -(2**63)


class Reader:
    """Reads callers' values; what it cannot read counts as refused in the recorder and gets the nearest meaning."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def time(self, value: Any, otherwise: int) -> int:
        """UTC µs of a datetime (a naive one is UTC), a date or ISO 8601 text; `otherwise` for None and what is none."""
        try:
            if isinstance(value, datetime):
                return micros(value)
            if isinstance(value, date):
                return micros(datetime(value.year, value.month, value.day, tzinfo=UTC))
            if isinstance(value, str):
                return parse_when(value, now=None)
        except (InvalidError, OverflowError) as error:
            self._recorder.refuse("time", error)
            return otherwise
        if value is not None:
            self._recorder.refuse("time", TypeError(f"not a datetime: {value!r:.60}"))
        return otherwise

    def instant(self, value: Any) -> str | None:
        """ISO 8601 of what `time` reads; None for None and what it cannot read."""
        at = self.time(value, _NEVER)
        return None if at == _NEVER else iso(at)

    def count(self, value: Any) -> int | None:
        """A count of at least 0; None for None and for what is no number."""
        if value is None:
            return None
        try:
            return min(max(int(value), 0), _MOST)
        except (TypeError, ValueError, OverflowError) as error:
            self._recorder.refuse("count", error)
            return None

    def seconds(self, value: Any) -> float | None:
        """A duration of at least 0 seconds; None for None and for what is no finite number."""
        try:
            seconds = None if value is None else float(value)
        except (TypeError, ValueError, OverflowError) as error:
            self._recorder.refuse("duration", error)
            return None
        return seconds if seconds is None or (math.isfinite(seconds) and seconds >= 0) else None

    def error(self, value: Any, type_: str) -> Error | None:
        """The error in a message (of type `type_`) or an exception, cut with a mark where it is long; None for None."""
        if value is None:
            return None
        error = error_of(value) if isinstance(value, BaseException | Error) else Error(type_, str(value))
        return msgspec.structs.replace(error, message=mend_text(error.message, self._recorder.mended, MAX_MESSAGE))

    def pair(self, symbol: Any, timeframe: Any) -> Pair:
        """The pair; an empty part becomes "?", and "/" in a timeframe, where it would hide the symbol's end, "-"."""
        name = mend_text(str(symbol).strip(), self._recorder.mended, MAX_NAME) or "?"
        frame = mend_text(str(timeframe).strip(), self._recorder.mended, 100).replace("/", "-") or "?"
        return Pair(name, frame)

    def id(self, value: Any) -> str | None:
        """The id, if it may be one; None for None."""
        try:
            return None if value is None else check_id(str(value))
        except InvalidError as error:
            self._recorder.refuse("id", error)
            return None

    def status(self, word: Any, *, failed: int | None = None, faulty: bool = False) -> Status:
        """The canonical status of a caller's word; of a word nobody knows: what the error says, failed or succeeded."""
        status = status_of(str(word), failed=failed or 0)
        if status is None:
            self._recorder.refuse("status", ValueError(f"{word!r:.60} is no status"))
            return Status.FAILED if faulty else Status.PARTIAL if failed else Status.SUCCEEDED
        return status
