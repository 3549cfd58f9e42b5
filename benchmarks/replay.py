"""What a store asks of its database, kept and asked again of another: what is left once the store's own work is done.

A store that has seen the same events asks the same, so its statements are the next ones of any other such store:

    said = statements(sqlite.connection, lambda: one.apply(events))
    with another.connections.write() as session:
        replay(session, said)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

Said = tuple[str, str, Any]
"""A method of the session, the statement, and the values it was given."""


def statements(module: ModuleType, work: Callable[[], object]) -> list[Said]:
    """What `work` says to the sessions of `module`, in order."""
    said: list[Said] = []
    plain: Any = module.Session

    def listening(name: str) -> Callable[..., Any]:
        say = getattr(plain, name)

        def heard(session: Any, sql: str, given: Any = (), **more: Any) -> Any:
            values = list(given) if name == "copy" else given
            said.append((name, sql, values))
            return say(session, sql, values, **more)

        return heard

    methods = {name: listening(name) for name in ("put", "run", "value", "rows", "copy") if hasattr(plain, name)}
    replaced: Any = module
    replaced.Session = type("Session", (plain,), methods)
    try:
        work()
    finally:
        replaced.Session = plain
    return said


def replay(session: Any, said: Sequence[Said]) -> None:
    """Say it again."""
    for name, sql, values in said:
        getattr(session, name)(sql, values)
