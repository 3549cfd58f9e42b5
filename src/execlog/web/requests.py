"""What the server counts about the requests it answers."""

from __future__ import annotations

from collections import Counter

from execlog.kind import Route


class Requests:
    """How many requests each route answered, by status; touched on the event loop only."""

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, str, int]] = Counter()

    def count(self, route: Route, status: int) -> None:
        """Count one answer."""
        self.answered[route.method, route.path, status] += 1
