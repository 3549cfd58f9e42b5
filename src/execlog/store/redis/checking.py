"""What `execlog doctor` says about the servers of a Redis store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

LOST = "off: what was written last is lost with the server"
Info = Mapping[str, Any]


def facts_of(servers: Mapping[str, Info], *, clustered: bool) -> dict[str, str]:
    """Facts about what servers say of themselves, with a warning that names the one that may lose what it holds."""
    infos = [info for info in servers.values() if "error" not in info]
    facts = {
        "version": _one_of(
            f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version')}"
            for info in infos
        ),
        "memory": f"{sum(info.get('used_memory', 0) for info in infos)} bytes",
        "eviction": _one_of(map(_policy, infos)),
        "append-only file": _one_of("on" if info.get("aof_enabled") else LOST for info in infos),
    }
    if clustered:
        replicas = sum(info.get("connected_slaves", 0) for info in infos)
        facts["cluster"] = f"{len(servers)} masters, {replicas} replicas"
    warnings = [
        f"{name} {fault}" if clustered else fault
        for name, info in servers.items()
        for fault in _faults(info, clustered=clustered)
    ]
    return {**facts, "warning": "; ".join(warnings)} if warnings else facts


def _faults(info: Info, *, clustered: bool) -> Iterator[str]:
    if "error" in info:
        yield f"does not answer ({info['error']})"
        return
    policy = _policy(info)
    if policy not in {"noeviction", "unknown"}:
        yield f"has maxmemory-policy {policy}: under pressure it drops records; set noeviction"
    if policy == "noeviction" and 0 < info.get("maxmemory", 0) <= info.get("used_memory", 0):
        yield "has reached its maxmemory: it takes no record; give it more"
    if info.get("role") == "slave":
        yield "is a replica: its master does not know what is written here; use the master's URL"
    if clustered and not info.get("aof_enabled"):
        yield "has no append-only file: restarted, it is empty, and empties its replicas; set appendonly yes"
    if clustered and not info.get("connected_slaves"):
        yield "has no replica: with it, its part of the history is gone"


def _policy(info: Info) -> str:
    return str(info.get("maxmemory_policy", "unknown"))


def _one_of(values: Iterator[str]) -> str:
    return ", ".join(dict.fromkeys(values))
