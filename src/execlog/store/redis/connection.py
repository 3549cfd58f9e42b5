"""A connection to a server, and what all that is kept there is changed with."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.resources import files
from typing import Any

import msgspec
from msgspec import Struct

from execlog.core.errors import ExeclogError, MissingExtraError, StoreError
from execlog.store.redis.packing import as_bytes

TIMEOUT = 5.0
Command = Sequence[Any]
"""A command's name, its key, and the rest."""
_encode = msgspec.json.Encoder().encode


class Script(Struct, frozen=True):
    """A script of this folder, by the SHA-1 that servers know it by."""

    text: str
    sha: str

    def on(self, keys: Sequence[str], args: Sequence[Any]) -> Command:
        """The command that runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)


class Connection:
    """A client of one server; the driver's errors become StoreError inside `answers`."""

    clustered = False

    def __init__(self, url: str, client: Any) -> None:
        redis = driver()
        # The driver's own errors about clusters are none of its RedisErrors.
        self._errors: tuple[type[Exception], ...] = (
            redis.RedisError,
            redis.exceptions.RedisClusterException,
            OSError,
        )
        self._unknown_script: type[Exception] = redis.exceptions.NoScriptError
        self._scripts: list[Script] = []
        self._closed = False
        self.url = without_secrets(url)
        self.client = client

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

    def script(self, name: str) -> Script:
        """The script of that name."""
        text = files("execlog.store.redis").joinpath(f"{name}.lua").read_text("utf-8")
        self._scripts.append(Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()))
        return self._scripts[-1]

    def call(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """What a script answers that changes something."""
        return self.write([script.on(keys, args)])[0]

    def read(self, commands: Sequence[Command], *, together: bool = False) -> list[Any]:
        """What commands answer that change nothing; `together`: at one moment, for keys of one slot."""
        return checked(self._ask(self.client, commands, together=together))

    def write(self, commands: Sequence[Command]) -> list[Any]:
        """What commands answer that change something: on one server they are one atomic step."""
        return checked(self._ask(self.client, commands, together=True))

    def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The values of keys, None where there is none."""
        return self.client.mget(keys) if keys else []

    def number_of(self, keys: Sequence[str]) -> int:
        """How many of these keys, each another one, there are."""
        return self.client.exists(*keys) if keys else 0

    def now(self, key: str) -> int:
        """UTC µs on the clock of the server that has this key."""
        del key
        return micros(self.client.time())

    def servers(self) -> dict[str, dict[str, Any]]:
        """What each server that takes writes says about itself, by its name."""
        return {self.url: self.client.info()}

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
            return bool(self.call(self._swap, list(numbers), argv))

    def close(self) -> None:
        """Release the connections."""
        self._closed = True
        self.client.close()

    def _ask(self, client: Any, commands: Sequence[Command], *, together: bool) -> list[Any]:
        """What a server answers, errors among it; scripts that it does not know yet are loaded and run again."""
        results = _sent(client, commands, together=together)
        unknown = [at for at, result in enumerate(results) if isinstance(result, self._unknown_script)]
        if unknown:
            for script in self._scripts:
                client.script_load(script.text)
            unknown += [
                at for at, command in enumerate(commands) if command[0] == "WAIT"
            ]  # it waits for what went before
            again = _sent(client, [commands[at] for at in unknown], together=together)
            for at, result in zip(unknown, again, strict=True):
                results[at] = result
        return results

    @cached_property
    def _swap(self) -> Script:
        return self.script("swap")


def checked(results: list[Any]) -> list[Any]:
    """The results, unless one of them is an error."""
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def micros(time: tuple[int, int]) -> int:
    """UTC µs of a server's answer to TIME."""
    seconds, rest = time
    return seconds * 1_000_000 + rest


def digest(value: str | None) -> str:
    """What a script compares a value with: its SHA-1, or "" where there is none."""
    return hashlib.sha1(as_bytes(value), usedforsecurity=False).hexdigest() if value else ""


def driver() -> Any:
    """The module redis. Raises MissingExtraError."""
    try:
        import redis
    except ImportError as error:
        raise MissingExtraError("redis", needed_for="the Redis store") from error
    return redis


def without_secrets(url: str) -> str:
    """The URL without user, password and options: a password may be one of them."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


def _sent(client: Any, commands: Sequence[Command], *, together: bool) -> list[Any]:
    with client.pipeline(transaction=together) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=False)
