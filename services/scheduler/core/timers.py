"""What is to be looked at again later, without a clock: whoever owns the timers is told the time."""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

Concerned = TypeVar("Concerned")


class Timers(Generic[Concerned]):
    """Times are seconds since the epoch. A timer is never taken back: what it concerns may find nothing to do."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Concerned]] = []
        self._pending: set[tuple[float, Concerned]] = set()
        self._sequence = 0

    def wake(self, due: float, concerned: Concerned) -> None:
        if (due, concerned) in self._pending:
            return
        self._pending.add((due, concerned))
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, concerned))

    @property
    def next_due(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[Concerned]:
        """What has become due, each taken out as it is handed over."""
        while self._heap and self._heap[0][0] <= now:
            time, _, concerned = heapq.heappop(self._heap)
            self._pending.discard((time, concerned))
            yield concerned
