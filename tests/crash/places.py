"""The stores that are proven, a line each: how a test gets an empty one, and how to be without it and get it back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import servers
from crash.proxy import Proxy
from execlog.store.opening import OPENERS


class Place(NamedTuple):
    """`url` gives the URL of an empty store; `server` makes a server of its own that keeps what it acknowledged."""

    url: Callable[[pytest.FixtureRequest, Path], str]
    server: Callable[[], servers.Server] | None = None


_PLACES = {
    "sqlite": Place(lambda _, folder: f"sqlite:///{folder}/store.db"),
    "files": Place(lambda _, folder: f"files:///{folder}/store"),
    "redis": Place(
        lambda request, _: request.getfixturevalue("empty_valkey_url"),
        lambda: servers.Valkey({"appendonly": "yes", "appendfsync": "always"}),
    ),
    "postgresql": Place(
        lambda request, _: request.getfixturevalue("empty_postgres_url"), lambda: servers.Postgres({"fsync": "on"})
    ),
}
PLACES = {name: place for name, place in _PLACES.items() if name in OPENERS}
SERVED = [name for name, place in PLACES.items() if place.server]
SETTINGS: dict[str, Any] = {"redis_history_limit": 10**7}
"""A store that forgets by itself is told not to: what is proven is that nothing is lost otherwise."""


def url_of(name: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty store."""
    return PLACES[name].url(request, folder)


@contextlib.contextmanager
def proxied(name: str) -> Iterator[tuple[str, Proxy, servers.Server]]:
    """A server of its own behind a proxy: the URL through it, and both."""
    make = PLACES[name].server
    assert make is not None
    try:
        made = make()
    except servers.MissingServerError as missing:
        pytest.skip(str(missing))
    with made as server, contextlib.closing(Proxy(server.port)) as proxy:
        yield server.url.replace(f":{server.port}", f":{proxy.port}"), proxy, server
