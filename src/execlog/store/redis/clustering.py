"""A connection to a cluster: each command goes to the node that has its key.

Commands are sent by the node, in one go each, not by the driver's own pipeline for clusters: that one would try every
command of a batch again by itself while a node is away, each for as long as its time-out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from execlog.core.errors import StoreError
from execlog.store.redis.connection import Command, Connection, checked, driver, micros
from execlog.store.redis.packing import ODD_BYTES

MOVES = 5
"""How often a batch follows slots that move meanwhile."""

LOOKED_AT = 10.0
"""Seconds for which the number of a node's replicas is taken for known."""


class ClusterConnection(Connection):
    """A client of all nodes.

    Replication is asynchronous, and a replica that takes over is without what it did not get: so what is written counts
    once a replica of its node has it, where that has one.
    """

    clustered = True

    def __init__(self, url: str, urls: Sequence[str], *, timeout: float) -> None:
        redis = driver()
        super().__init__(url, None)
        self._wait_ms = round(timeout * 500)  # shorter than the connection's patience
        self._replicas: dict[str, tuple[int, float]] = {}
        others = [redis.connection.parse_url(one) for one in urls[1:]]
        with self.answers():
            self.client = redis.RedisCluster.from_url(
                urls[0],
                startup_nodes=[redis.cluster.ClusterNode(it["host"], it.get("port", 6379)) for it in others],
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
                decode_responses=True,
                encoding_errors=ODD_BYTES,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
            )
        self._moved, self._ask_there, self._lost = (
            (redis.exceptions.MovedError, redis.exceptions.ClusterDownError),
            redis.exceptions.AskError,
            (redis.ConnectionError, redis.TimeoutError, OSError),
        )

    def read(self, commands: Sequence[Command], *, together: bool = False) -> list[Any]:
        """What commands answer that change nothing."""
        return self._everywhere(commands, together=together, write=False)

    def write(self, commands: Sequence[Command]) -> list[Any]:
        """What commands answer that change something, once replicas have it; a command is an atomic step each."""
        return self._everywhere(commands, together=False, write=True)

    def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The values of keys, None where there is none."""
        return self.read([("GET", key) for key in keys])

    def number_of(self, keys: Sequence[str]) -> int:
        """How many of these keys there are."""
        return sum(self.read([("EXISTS", key) for key in keys]))

    def now(self, key: str) -> int:
        """UTC µs on the clock of the node that has this key."""
        return micros(
            checked(self._on(self.client.get_node_from_key(key), [("TIME",)], together=False, write=False))[0]
        )

    def servers(self) -> dict[str, dict[str, Any]]:
        """What each master says about itself; of one that does not answer, nothing but why (`error`)."""
        found: dict[str, dict[str, Any]] = {}
        for node in self.client.get_primaries():
            try:
                found[node.name] = self.client.get_redis_connection(node).info()
            except self._errors as error:
                found[node.name] = {"error": f"{type(error).__name__}: {error}"}
        return found

    def _everywhere(self, commands: Sequence[Command], *, together: bool, write: bool) -> list[Any]:
        results: list[Any] = [None] * len(commands)
        left = list(range(len(commands)))
        for tried in range(MOVES):
            by_node: dict[str, tuple[Any, list[int]]] = {}
            for at in left:
                node = self.client.get_node_from_key(_key_of(commands[at]))
                by_node.setdefault(node.name, (node, []))[1].append(at)
            for node, some in by_node.values():
                answers = self._on(node, [commands[at] for at in some], together=together, write=write)
                for at, answer in zip(some, answers, strict=True):
                    results[at] = self._asked(commands[at], answer, write=write)
            left = [at for at in left if isinstance(results[at], self._moved)]
            if not left:
                break
            self.client.nodes_manager.initialize()
            time.sleep(0.05 * tried)
        return checked(results)

    def _on(self, node: Any, commands: Sequence[Command], *, together: bool, write: bool) -> list[Any]:
        """What a node answers, errors among it; what was written is with a replica then."""
        client = self.client.get_redis_connection(node)
        try:
            if not write or not self._replicas_of(node.name, client):
                return self._ask(client, commands, together=together)
            *results, got = self._ask(client, [*commands, ("WAIT", 1, self._wait_ms)], together=together)
            if got == 0 and self._replicas_of(node.name, client, anew=True):
                raise StoreError(f"{self.url}: the replica of {node.name} does not keep up", retry=True)
        except self._lost:
            with suppress(*self._errors):  # who has its slots by now is for the next one to use
                self._look_around(node.name)
            raise
        return results

    def _asked(self, command: Command, answer: Any, *, write: bool) -> Any:
        """The answer, from the node a slot is just moving to where it is with that already."""
        if not isinstance(answer, self._ask_there):
            return answer
        node = self.client.get_node(answer.host, answer.port)
        if node is None:
            self.client.nodes_manager.initialize()
            node = self.client.get_node(answer.host, answer.port)
        return self._on(node, [("ASKING",), command], together=False, write=write)[1]

    def _look_around(self, lost: str) -> None:
        """Ask the other nodes who has which slots."""
        manager = self.client.nodes_manager
        node = manager.startup_nodes.pop(lost, None)  # it would be asked too, for as long as the time-out
        try:
            manager.initialize()
        except self._errors:
            if node is not None:
                manager.startup_nodes[lost] = node
            raise

    def _replicas_of(self, name: str, client: Any, *, anew: bool = False) -> int:
        number, at = self._replicas.get(name, (0, 0.0))
        if anew or not number or time.monotonic() - at > LOOKED_AT:
            number = int(client.info("replication").get("connected_slaves", 0))
            self._replicas[name] = number, time.monotonic()
        return number


def _key_of(command: Command) -> str:
    """A key of a command: scripts name theirs after their number."""
    return command[3] if command[0] == "EVALSHA" else command[1]
