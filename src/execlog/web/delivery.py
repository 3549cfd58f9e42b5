"""One try to bring a message where it goes: posted to a webhook, or handed to a command."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from execlog.core.errors import ExeclogError
from execlog.kinds.jobs.http_source import exchange, retry_after

POST_SECONDS, COMMAND_SECONDS = 10.0, 30.0
LONGEST_WAIT = 3_600.0
_LONGEST = 300
_LOOK_SECONDS = 0.05


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a try.

    is_refused   the same message would be refused again
    wait         seconds the receiver asks to wait before the next try
    """

    is_sent: bool
    said: str
    is_refused: bool = False
    wait: float | None = None


def shown(url: str) -> str:
    """The URL without what makes it a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def post(url: str, body: bytes, *, timeout: float = POST_SECONDS) -> Outcome:
    """What became of the message, posted as JSON. Nothing that is said shows the URL."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        headers = {"Content-Type": "application/json"}
        answer = exchange("POST", parts.netloc, target, headers=headers, body=body, timeout=timeout, tls=tls)
    except TimeoutError:
        return Outcome(is_sent=False, said=f"no answer within {timeout:g}s")
    except (OSError, http.client.HTTPException, ExeclogError, ValueError) as error:
        return Outcome(is_sent=False, said=_hidden(f"{type(error).__name__}: {error}", url))
    said = f"HTTP {answer.status} {answer.reason}".strip()
    if answer.status // 100 == HTTPStatus.OK // 100:
        return Outcome(is_sent=True, said=said)
    text = " ".join(answer.body[:_LONGEST].decode("utf-8", "replace").split())
    is_later = answer.is_retryable or answer.status == HTTPStatus.REQUEST_TIMEOUT
    wait = retry_after(answer.headers.get("retry-after"), now=time.time()) if is_later else None
    return Outcome(
        is_sent=False,
        said=_hidden(f"{said}: {text}" if text else said, url),
        is_refused=not is_later,
        wait=None if wait is None else min(wait, LONGEST_WAIT),
    )


def run(command: Sequence[str], body: bytes, *, stopping: threading.Event, timeout: float = COMMAND_SECONDS) -> Outcome:
    """What became of the message, given to a command on its standard input and in EXECLOG_ALERT_*.

    At its time-out, or when `stopping` is set, the command is killed with everything it started.
    """
    # Files, no pipes: a command need not read, and what it leaves running would keep a pipe open.
    with tempfile.TemporaryFile() as message, tempfile.TemporaryFile() as output:
        message.write(body)
        message.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=message,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | _environment(body),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return Outcome(is_sent=False, said=f"{type(error).__name__}: {error}"[:_LONGEST])
        deadline = time.monotonic() + timeout
        while not _has_ended(process):
            if stopping.is_set() or time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                why = "the server stops" if stopping.is_set() else f"it did not end within {timeout:g}s"
                return Outcome(is_sent=False, said=why)
        if process.returncode == 0:
            return Outcome(is_sent=True, said="exit code 0")
        output.seek(max(output.seek(0, os.SEEK_END) - _LONGEST, 0))
        tail = " ".join(output.read().decode("utf-8", "replace").split())
    return Outcome(is_sent=False, said=f"exit code {process.returncode}" + (f": {tail}" if tail else ""))


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended, or does in a moment."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK_SECONDS)
    return process.returncode is not None


def _environment(body: bytes) -> dict[str, str]:
    """The message's plain parts, for commands that read no JSON."""
    message: dict[str, Any] = msgspec.json.decode(body)
    one: dict[str, Any] = message["execution"] or {}
    said = {"name": message["alert"]}
    said |= {name: message[name] for name in ("event", "text", "reason", "held_back", "url")}
    said |= {name: one.get(name) for name in ("kind", "namespace", "id", "subject", "status")}
    return {
        f"EXECLOG_ALERT_{name.upper()}": "" if value is None else str(value).replace("\0", "")
        for name, value in said.items()
    }


def _hidden(text: str, url: str) -> str:
    """The text, cut, without the secret parts of the URL, should a server repeat them."""
    parts = urlsplit(url)
    for secret in (url, f"{parts.path}?{parts.query}", parts.query, parts.path):
        if len(secret) > 1:
            text = text.replace(secret, "…")
    return text[:_LONGEST]
