"""One HTTP request to a model: sent, and its response read whole or event by event, until nobody wants it any more."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit

from execlog.core.redact import MASK
from execlog.kinds.workflows.models.asking import NEVER, Dialect, ModelCallError, ModelTimeoutError, Watch, may_pass
from execlog.kinds.workflows.models.endpoint import Endpoint

MAX_RESPONSE = 32 * 2**20
BROKE_OFF = "the answer broke off in the middle"
_OK = 200


@contextmanager
def send(
    endpoint: Endpoint, dialect: Dialect, body: Mapping[str, Any], watch: Watch, sent: Callable[[], None]
) -> Generator[http.client.HTTPResponse]:
    """The response with status 200, to be read inside the context. Raises ModelCallError for any other outcome.

    `sent` is called once the whole request is on its way: from then on it may have to be paid for.
    A call that is not wanted any more ends at once: its connection is shut from the other thread.
    """
    connection, path = _connection(endpoint, dialect)
    try:
        with _faults(endpoint, watch, endpoint.connect_timeout):
            connection.connect()
        with _faults(endpoint, watch, endpoint.timeout), _shut_on_stop(connection.sock, watch):
            connection.sock.settimeout(endpoint.timeout)
            watch.check()
            # A half of a surrogate pair, as in badly decoded text, has no UTF-8.
            data = json.dumps(body, ensure_ascii=False).encode(errors="replace")
            connection.request("POST", path, data, _headers(endpoint, dialect))
            sent()
            response = connection.getresponse()
            if response.status != _OK:
                raise _refusal(response, dialect)
            yield response
    except ModelCallError as error:
        # Providers repeat a wrong key in what they say of it; errors are kept.
        if endpoint.key:
            error.args = tuple(str(part).replace(endpoint.key, MASK) for part in error.args)
        raise
    finally:
        connection.close()


def read_whole(response: http.client.HTTPResponse) -> Mapping[str, Any]:
    """The JSON object of a response. Raises ModelCallError."""
    data = response.read(MAX_RESPONSE + 1)
    if len(data) > MAX_RESPONSE:
        raise ModelCallError(f"the answer has more than {MAX_RESPONSE} bytes")
    if response.length:
        raise ModelCallError(BROKE_OFF, retry=True)
    return _object(data)


def read_events(response: http.client.HTTPResponse) -> Iterator[Mapping[str, Any] | None]:
    """The data of each server-sent event; None for `[DONE]`. Ends with the response. Raises ModelCallError."""
    data: list[bytes] = []
    size = 0
    for line in iter(lambda: response.readline(MAX_RESPONSE), b""):
        size += len(line)
        if size > MAX_RESPONSE:
            raise ModelCallError(f"the answer has more than {MAX_RESPONSE} bytes")
        text = line.rstrip(b"\r\n")
        if text.startswith(b"data:"):
            data.append(text[5:].removeprefix(b" "))
        elif not text and data:
            whole, data = b"\n".join(data), []
            yield _event(whole)
    if data:
        yield _event(b"\n".join(data))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds a response asks to wait (Retry-After in seconds or as a date, retry-after-ms); None if it does not."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    if said is None:
        return None
    seconds = _number(said)
    if seconds is not None:
        return seconds
    with contextlib.suppress(ValueError):
        return max(email.utils.parsedate_to_datetime(said).timestamp() - now, 0.0)
    return None


def _connection(endpoint: Endpoint, dialect: Dialect) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(endpoint.url)
    base = parts.path.rstrip("/")
    # An address may be given with or without the format's own first segment.
    head, _, _ = dialect.path[1:].partition("/")
    path = base.removesuffix(f"/{head}") + dialect.path if head == "v1" else base + dialect.path
    path += f"?{parts.query}" if parts.query else ""
    host, timeout = parts.hostname or "", endpoint.connect_timeout
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=_tls()), path
    return http.client.HTTPConnection(host, parts.port, timeout=timeout), path


def _headers(endpoint: Endpoint, dialect: Dialect) -> dict[str, str]:
    common = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    return common | {"User-Agent": "execlog"} | dialect.headers(endpoint.key) | endpoint.headers


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@contextmanager
def _shut_on_stop(sock: socket.socket, watch: Watch) -> Generator[None]:
    """Have the socket shut when the call is not wanted any more.

    Not by way of the connection: it lets go of its socket where the server will close it, and the response reads on.
    """

    def shut() -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    forget = watch.on_stop(shut)
    try:
        yield
    finally:
        forget()


@contextmanager
def _faults(endpoint: Endpoint, watch: Watch, patience: float) -> Generator[None]:
    """What can go wrong on the wire, as ModelCallErrors that say where; `patience`: seconds that were waited."""
    host = urlsplit(endpoint.url).netloc.rpartition("@")[2]
    try:
        yield
    except TimeoutError as error:
        watch.check()
        raise ModelTimeoutError(f"{host} did not answer within {patience:g} s", retry=True) from error
    except ssl.SSLCertVerificationError as error:
        raise ModelCallError(f"{host}: {error.verify_message}") from error
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        # A connection that was shut because nobody wants the answer looks like one that broke.
        watch.check()
        if isinstance(error, ValueError | AttributeError):
            raise
        raise ModelCallError(f"{host}: {_reason(error)}", retry=True) from error


def _reason(error: Exception) -> str:
    return f"the connection broke: {str(error) or type(error).__name__}"


def _refusal(response: http.client.HTTPResponse, dialect: Dialect) -> ModelCallError:
    data = response.read(65_536)
    try:
        body = json.loads(data)
    except ValueError:
        body = {"error": data.decode("utf-8", "replace").strip()[:300]}
    message, code = dialect.complaint(body)
    headers = {name.lower(): value for name, value in response.getheaders()}
    asked = headers.get("x-should-retry")
    retry = (may_pass(response.status) and code not in NEVER) if asked is None else asked == "true"
    status = f"HTTP {response.status} {response.reason}".rstrip()
    return ModelCallError(
        f"{status}: {message[:1000]}",
        status=response.status,
        declined=True,
        retry=retry,
        retry_after=retry_after(headers, time.time()),
    )


def _event(data: bytes) -> Mapping[str, Any] | None:
    return None if data.strip() == b"[DONE]" else _object(data)


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ModelCallError(f"the answer is not JSON: {data[:100]!r}", retry=True) from error
    if not isinstance(value, dict):
        raise ModelCallError(f"the answer is no JSON object: {data[:100]!r}")
    return cast("Mapping[str, Any]", value)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None  # noqa: PLR2004 - and not a NaN
