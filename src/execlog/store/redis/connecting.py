"""A connection to a server, and what all that is kept there is changed with."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.resources import files
from typing import Any

import msgspec

from execlog.core.errors import ExeclogError, MissingExtraError, StoreError

TIMEOUT = 5.0
Command = Sequence[str]
"""A command's name, its key, and the rest."""
_encode = msgspec.json.Encoder().encode


class Connection:
    """A client of a server; the driver's errors become StoreError inside `answers`."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        redis = _driver()
        self._errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self.url = _without_secrets(url)
        self._closed = False
        self.client: Any = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=timeout, socket_connect_timeout=timeout, health_check_interval=30
        )
        with self.answers():
            self.client.ping()

    @contextmanager
    def answers(self) -> Generator[None]:
        """Nothing; the driver's errors inside become StoreError."""
        if self._closed:
            raise StoreError("the store is closed", retry=False)
        try:
            yield
        except ExeclogError:
            raise
        except self._errors as error:
            raise StoreError(f"{self.url}: {type(error).__name__}: {error}", retry=True) from error

    def script(self, name: str) -> Any:
        """The script of that name, ready to be called."""
        return self.client.register_script(files("execlog.store.redis").joinpath(f"{name}.lua").read_text("utf-8"))

    def swap(
        self, hash_: str, read: Mapping[str, str | None], new: Mapping[str, str | None], commands: Sequence[Command]
    ) -> bool:
        """Whether the fields `new` of a hash were set (None: removed), and commands on keys of its slot run.

        Nothing is done where one of them is no longer as in `read`.
        """
        numbers = {key: at for at, key in enumerate(dict.fromkeys([hash_, *(command[1] for command in commands)]), 1)}
        argv = [str(len(new))]
        for field, value in new.items():
            argv += [field, digest(read[field]), value or ""]
        argv += [_encode([name, str(numbers[key]), *rest]).decode() for name, key, *rest in commands]
        with self.answers():
            return bool(self._swap(keys=list(numbers), args=argv))

    def close(self) -> None:
        """Release the connections."""
        self._closed = True
        self.client.close()

    @cached_property
    def _swap(self) -> Any:
        return self.script("swap")


def digest(value: str | None) -> str:
    """What a script compares a value with: its SHA-1, or "" where there is none."""
    return hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest() if value else ""


def _driver() -> Any:
    """The module redis. Raises MissingExtraError."""
    try:
        import redis
    except ImportError as error:
        raise MissingExtraError("redis", needed_for="the Redis store") from error
    return redis


def _without_secrets(url: str) -> str:
    """The URL without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
