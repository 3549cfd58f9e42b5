"""Which steps are next: those all of whose needs are over. Nothing here runs anything."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from execlog.kinds.workflows.graph import Graph


class Frontier:
    """Gives every step once, in the graph's order, as soon as all it needs is over."""

    def __init__(self, graph: Graph) -> None:
        self._order = graph.order
        self._place = {step_id: place for place, step_id in enumerate(graph.order)}
        self._left = {step_id: len(graph.needs[step_id]) for step_id in graph.order}
        self._followers: dict[str, list[str]] = {step_id: [] for step_id in graph.order}
        for step_id, needs in graph.needs.items():
            for before in needs:
                self._followers[before].append(step_id)
        self._next = [place for place, step_id in enumerate(graph.order) if not self._left[step_id]]
        heapify(self._next)

    def pop(self) -> str | None:
        """The next step, None while all that are left wait for others."""
        return self._order[heappop(self._next)] if self._next else None

    def over(self, step_id: str) -> None:
        """Note that a step is over, however it ended."""
        for follower in self._followers[step_id]:
            self._left[follower] -= 1
            if not self._left[follower]:
                heappush(self._next, self._place[follower])


class Queue:
    """Steps that may begin as soon as there is room, in the graph's order."""

    def __init__(self, graph: Graph) -> None:
        self._order = graph.order
        self._place = {step_id: place for place, step_id in enumerate(graph.order)}
        self._heap: list[int] = []

    def push(self, step_id: str) -> None:
        """Put a step in its place."""
        heappush(self._heap, self._place[step_id])

    def pop(self) -> str:
        """Take the first one out."""
        return self._order[heappop(self._heap)]

    def __bool__(self) -> bool:
        return bool(self._heap)
