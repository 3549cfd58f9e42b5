"""Prices over HTTP: a rate limit, time-outs, and retries that listen to Retry-After."""

from __future__ import annotations

import csv
import http.client
import io
import random
import socket
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from execlog.core.clock import micros
from execlog.kinds.jobs.prices import Price
from execlog.kinds.jobs.sources import FetchError, HttpConfig, nothing_between, price_of
from execlog.runner.stop import is_cancelled, pause, uncounted

MAX_ANSWER = 32 * 2**20
_CHUNK = 65_536
_REDIRECTION = 3
_COMPLAINTS = ("error", "detail", "message", "title")
_BROKEN = (ConnectionError, http.client.HTTPException, ssl.SSLError, OSError)


class Answer(Struct, frozen=True):
    """What a server answered."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    def complaint(self) -> str:
        """What the server said was wrong."""
        said = ""
        try:
            found: Any = msgspec.json.decode(self.body)
            if isinstance(found, dict):
                fields = cast("dict[str, Any]", found)
                said = next((str(fields[name]) for name in _COMPLAINTS if fields.get(name)), "")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            said = self.body[:200].decode("utf-8", "replace").strip()
        if self.status == HTTPStatus.NOT_FOUND and said:
            return said[:500]
        elsewhere = self.headers.get("location")
        where = f", it is at {elsewhere[:500]}" if elsewhere and self.status // 100 == _REDIRECTION else ""
        return f"HTTP {self.status} {self.reason}".strip() + where + (f": {said[:500]}" if said else "")


class HttpSource:
    """A `Source` behind HTTP; see `HttpConfig`. Thread-safe."""

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self._pace = Pace(config.rate)
        self._tls = ssl.create_default_context() if config.base_url.startswith("https:") else None

    def fetch(self, symbol: str, start: str, end: str) -> list[Price]:
        """The prices of a symbol between two days. Raises FetchError, TimeoutError "Connection timeout after 30s"."""
        answer = self._ask(symbol, start, end)
        if answer.status != HTTPStatus.OK:
            raise FetchError(answer.complaint())
        prices = sorted(_prices(answer), key=lambda price: price.date)
        found = [price for price in prices if start <= price.date <= end]
        if not found:
            raise FetchError(nothing_between(symbol, start, end, prices[0].date if prices else None))
        return found

    def _ask(self, symbol: str, start: str, end: str) -> Answer:
        """The last answer: a good or final one, or the one after which no try was left."""
        config = self._config
        filled = config.filled(symbol, start, end)
        for attempt in range(config.retries + 1):
            last = attempt == config.retries
            try:
                answer = self._get(filled)
            except TimeoutError:
                raise TimeoutError(f"Connection timeout after {config.timeout:g}s") from None
            except _BROKEN as error:
                if last or not self._rest(self._backoff(attempt)):
                    raise FetchError(f"Connection to {urlsplit(config.base_url).netloc} failed: {error}") from error
                continue
            if last or not answer.is_retryable:
                return answer
            wait = retry_after(answer.headers.get("retry-after"), now=time.time())
            if not self._rest(self._backoff(attempt) if wait is None else wait):
                if wait is not None:
                    raise FetchError(f"{answer.complaint()}; it asks to wait {wait:g}s")
                return answer
        raise AssertionError  # pragma: no cover - the last try returns or raises

    def _get(self, path: str) -> Answer:
        """The answer to one request, made when it is its turn."""
        if not self._pace.wait():
            raise FetchError("it was not asked: the job was told to end")
        config = self._config
        headers = {"Accept": "application/json, text/csv", **config.headers}
        parts = urlsplit(config.base_url)
        target = parts.path.rstrip("/") + path
        return exchange("GET", parts.netloc, target, headers=headers, timeout=config.timeout, tls=self._tls)

    def _backoff(self, attempt: int) -> float:
        """Seconds before the next try: doubled each time, spread by half so that clients do not come back together."""
        return min(self._config.backoff * 2**attempt, self._config.max_wait) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    def _rest(self, seconds: float) -> bool:
        """Whether it waited so long, and may try again."""
        with uncounted():
            return seconds <= self._config.max_wait and not pause(seconds) and not is_cancelled()


def exchange(
    method: str,
    host: str,
    target: str,
    *,
    headers: dict[str, str],
    body: bytes | None = None,
    timeout: float,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """What a host (HOST or HOST:PORT, over HTTPS with `tls`) answered to one request, all of it within `timeout`.

    A redirection is not followed. Raises TimeoutError, OSError or http.client.HTTPException, and FetchError for an
    answer that is too large.
    """
    deadline = time.monotonic() + timeout
    connection = (
        http.client.HTTPSConnection(host, timeout=timeout, context=tls)
        if tls is not None
        else http.client.HTTPConnection(host, timeout=timeout)
    )
    try:
        connection.response_class = partial(_Response, deadline)  # type: ignore[assignment] - it is only called
        connection.request(method, target, body, {"User-Agent": "execlog", "Connection": "close", **headers})
        answer = connection.getresponse()
        found = bytearray()
        while chunk := answer.read1(_CHUNK):
            found += chunk
            if len(found) > MAX_ANSWER:
                raise FetchError(f"the answer is larger than {MAX_ANSWER} bytes")
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, answer.reason, names, bytes(found))
    finally:
        connection.close()


class _Response(http.client.HTTPResponse):
    """An answer of which nothing, neither headers nor body, is read after the deadline."""

    def __init__(self, deadline: float, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Until(deadline, sock))


class _Until(io.RawIOBase):
    """What comes from a socket until the deadline. The socket's own time-out is one of silence: who drips passes it."""

    def __init__(self, deadline: float, sock: socket.socket) -> None:
        super().__init__()
        self._deadline = deadline
        self._socket = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Pace:
    """A rate limit: each `wait` lasts until its turn, which does not count against the item's time."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._turn = threading.Lock()
        self._next = 0.0

    def wait(self) -> bool:
        """Whether its turn came: not where the job is told to end before, which leaves the turn to the next."""
        with uncounted(), self._turn:
            now = time.monotonic()
            turn = max(now, self._next)
            if pause(turn - now) or is_cancelled():
                return False
            self._next = turn + self._gap
            return True


def retry_after(value: str | None, *, now: float) -> float | None:
    """Seconds a Retry-After header asks to wait: its number, or the time until its date; None for none or nonsense."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004 - a number of seconds, not of digits
        return float(value)
    try:
        return max(micros(parsedate_to_datetime(value)) / 1e6 - now, 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _prices(answer: Answer) -> list[Price]:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "text/csv":
            rows: Any = list(csv.DictReader(answer.body.decode("utf-8-sig").splitlines()))
        else:
            rows = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, csv.Error, RecursionError) as error:
        raise FetchError(f"the answer is neither JSON nor CSV: {error}") from error
    if isinstance(rows, dict):
        rows = cast("dict[str, Any]", rows).get("rows")
    if not isinstance(rows, list):
        raise FetchError('the answer is not a list of rows, nor {"rows": [...]}')
    found = cast("list[Any]", rows)
    return [price_of(_fields(row, number), number) for number, row in enumerate(found, start=1)]


def _fields(row: object, number: int) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise FetchError(f"row {number} is not an object")
    return cast("dict[str, Any]", row)
