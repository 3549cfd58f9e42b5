"""Bodies of requests: received within limits of size and time, decompressed, and decoded."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from starlette.types import Receive

from execlog.core.errors import InvalidError
from execlog.core.misfit import told
from execlog.history.intake import check_depth
from execlog.kind import Route
from execlog.web.problem import ProblemError, invalid

SECONDS_TO_ARRIVE = 30.0
SECONDS_PASSED_OVER, BYTES_PASSED_OVER = 5.0, 2**26
MOST_PIECES = 2_000
"""Streams in one body: each costs time, whatever is in it, and no other request is answered meanwhile."""

_STEP, _PART = 2**14, 2**20
_ZLIB_OR_GZIP = 47
_CLOSE = {"Connection": "close"}


class ClientGoneError(Exception):
    """The client hung up before its request was whole: nobody is left to answer."""


class Arrivals:
    """Requests whose bodies are still arriving: a server that stops does not wait for them."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()

    def cancel(self) -> None:
        """Give up on them."""
        for task in self.tasks:
            task.cancel()


class Body:
    """The body of one route's requests, compiled once."""

    def __init__(self, route: Route, limit: int, arrivals: Arrivals) -> None:
        self.limit = limit
        self._arrivals = arrivals
        self.raw = route.body is bytes
        self._accepts = route.accepts
        self._decoder = None if self.raw else msgspec.json.Decoder(route.body)
        self.optional = not self.raw and _takes_none(route.body)

    async def read(self, headers: Mapping[str, str], receive: Receive) -> Any:
        """The decoded body, or its raw bytes where the route takes bytes.

        Raises ProblemError: 400 for no JSON or no such compression, 408, 413, 415, 422 for JSON that does not fit.
        """
        received = await self._receive(headers, receive)
        if not received and self.optional:
            return None
        self._check_type(headers.get("content-type", ""))
        data = decompress(received, headers.get("content-encoding", ""), self.limit)
        return data if self._decoder is None else decode(data, self._decoder)

    async def _receive(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        declared = headers.get("content-length", "0")
        beyond = declared.isdigit() and int(declared) > self.limit
        if beyond and (int(declared) > BYTES_PASSED_OVER or headers.get("expect", "").lower() == "100-continue"):
            raise self._too_large()  # who waits to be asked for it sends nothing
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            return self._bounded(message.get("body", b""))
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one
        self._arrivals.tasks.add(task)
        try:
            async with asyncio.timeout(SECONDS_TO_ARRIVE):
                if not beyond:
                    return await self._gather(message, receive)
                await _pass_over(receive)
                raise self._too_large()
        except TimeoutError as error:
            raise ProblemError(
                408, f"the body did not arrive within {SECONDS_TO_ARRIVE:g} s", headers=_CLOSE
            ) from error
        finally:
            self._arrivals.tasks.discard(task)

    async def _gather(self, message: Any, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self.limit:
                await _pass_over(receive)
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)
            message = await receive()

    def _bounded(self, data: bytes) -> bytes:
        if len(data) > self.limit:
            raise self._too_large()
        return data

    def _too_large(self) -> ProblemError:
        return too_large(self.limit)

    def _check_type(self, header: str) -> None:
        kind, _, rest = header.partition(";")
        kind = kind.strip().lower()
        charset = rest.lower().partition("charset=")[2].partition(";")[0].strip(' "')
        if (kind and kind not in self._accepts) or charset not in {"", "utf-8", "utf8"}:
            raise ProblemError(415, f"send {' or '.join(self._accepts)} in UTF-8, not {header[:100]!r}")


async def _pass_over(receive: Receive) -> None:
    """Let what is left of a body arrive, within bounds: who still sends when the connection closes reads no answer."""
    passed = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS_PASSED_OVER):
            while passed < BYTES_PASSED_OVER:
                message = await receive()
                if not message.get("more_body"):
                    return
                passed += len(message.get("body", b""))


def decompress(data: bytes, encoding: str, limit: int) -> bytes:
    """The data without its compression, at most `limit` bytes: stopped there, before the rest is unpacked.

    Raises ProblemError 400 for data that is not so compressed, 413, 415 for a compression not known here.
    """
    encoding = encoding.strip().lower()
    if not data or encoding in {"", "identity"}:
        return data
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise ProblemError(
            415, f"send gzip or deflate, not {encoding[:60]!r}", headers={"Accept-Encoding": "gzip, deflate"}
        )
    parts: list[bytes] = []
    size = 0
    try:
        for part in _unpacked(data, encoding):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise too_large(limit)
    except zlib.error as error:
        raise ProblemError(400, f"the body is not {encoding} data") from error
    return b"".join(parts)


def _unpacked(data: bytes, encoding: str) -> Iterator[bytes]:
    """What comes out of one piece of compressed data after another, a bounded part at a time."""
    at = 0
    for _ in range(MOST_PIECES):
        unpacker = zlib.decompressobj(wbits=_ZLIB_OR_GZIP)
        while not unpacker.eof:
            step = unpacker.unconsumed_tail or data[at : at + _STEP]
            if not step:
                raise ProblemError(400, f"the {encoding} data is cut off")
            at += 0 if unpacker.unconsumed_tail else len(step)
            yield unpacker.decompress(step, _PART)
        at -= len(unpacker.unused_data)
        if at == len(data):
            return
    raise ProblemError(400, f"the {encoding} data has more than {MOST_PIECES} pieces")


def decode(data: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The value in this JSON; raises ProblemError 400 for what is no JSON, 422 for JSON that does not fit."""
    if not data:
        raise ProblemError(400, "a body is needed: JSON")
    try:
        check_depth(data)
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise invalid(told(error, decoder.type)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidError, RecursionError) as error:
        raise ProblemError(400, f"not JSON this server reads: {error}") from error


def too_large(limit: int) -> ProblemError:
    """A 413; the connection is closed, for the rest of the body may be on its way."""
    return ProblemError(413, f"the body may have {limit} bytes, after decompression", headers=_CLOSE)


def _takes_none(type_: Any) -> bool:
    try:
        msgspec.convert(None, type_)
    except msgspec.ValidationError:
        return False
    return True
