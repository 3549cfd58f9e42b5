"""Whether a Redis store can be what its settings say, and what `execlog doctor` says about its servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from execlog.core.errors import SettingsError
from execlog.core.settings import Settings

LOST = "off: what was written last is lost with the server"
Info = Mapping[str, Any]
BOUNDS = {"redis_ttl": (1, 100 * 365 * 86_400, "seconds"), "redis_history_limit": (1, 1_000_000_000, "executions")}


def check_settings(settings: Settings) -> None:
    """Nothing. Raises SettingsError for what no server could keep a record by."""
    for name, (least, most, unit) in BOUNDS.items():
        value = getattr(settings, name)
        if not least <= value <= most:
            raise SettingsError(f"{name} is {value}: it must be from {least} to {most} {unit}")


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
