"""Connecting to what a URL names: a server, or a cluster."""

from __future__ import annotations

from typing import Any

from execlog.core.errors import StoreError
from execlog.store.redis.clustering import ClusterConnection
from execlog.store.redis.connection import TIMEOUT, Connection, driver, without_secrets
from execlog.store.redis.packing import ODD_BYTES, Packer


def connect(url: str, *, timeout: float = TIMEOUT) -> Connection:
    """A connection to the server or the cluster at this URL, whichever it says it is.

    `redis+cluster://one:6379,two:6379` (`rediss+cluster`, with TLS) wants a cluster, as does a list of several hosts:
    it is asked where its nodes are through the first of them that answers. Raises StoreError.
    """
    redis = driver()
    urls = _urls_of(url)
    for at, one in enumerate(urls):
        client: Any = redis.Redis.from_url(
            one,
            decode_responses=True,
            encoding_errors=ODD_BYTES,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=30,
            command_packer=Packer(),
        )
        connection = Connection(url, client)
        try:
            with connection.answers():
                clustered = _is_clustered(client, redis)
        except StoreError:
            connection.close()
            if at + 1 == len(urls):
                raise
            continue
        if clustered:
            connection.close()
            return ClusterConnection(url, urls, timeout=timeout)
        if len(urls) > 1 or "+cluster" in url.partition("://")[0]:
            connection.close()
            raise StoreError(f"{connection.url}: {without_secrets(one)} is not a node of a cluster", retry=False)
        return connection
    raise StoreError(f"{without_secrets(url)} names no host", retry=False)


def _urls_of(url: str) -> list[str]:
    """A URL for each of the hosts that are named, as the driver reads it."""
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, at, hosts = place.rpartition("@")
    return [f"{scheme.removesuffix('+cluster')}://{user}{at}{host}{slash}{path}" for host in hosts.split(",") if host]


def _is_clustered(client: Any, redis: Any) -> bool:
    client.ping()
    try:
        return bool(client.info("cluster").get("cluster_enabled"))
    except redis.ResponseError:  # a user who may not ask
        return False
