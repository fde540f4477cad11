"""What has to happen at a time, as a queue that somebody else's clock drives."""

import heapq
import itertools
from collections.abc import Callable
from typing import Final

_FEW: Final = 1000


class Timer:
    __slots__ = ("action", "due")

    def __init__(self, due: int, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action


class Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = itertools.count()
        self._cancelled = 0

    def at(self, due: int, action: Callable[[], None]) -> Timer:
        timer = Timer(due, action)
        heapq.heappush(self._heap, (due, next(self._order), timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """One that ran or was cancelled already is left alone."""
        if timer.action is None:
            return
        timer.action = None
        self._cancelled += 1
        # Most timers are cancelled long before they are due, so they must not stay until then.
        if self._cancelled > _FEW and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def due(self) -> int | None:
        """When the next one has to run."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def run(self, now: int) -> None:
        """Run what is due. What these add for `now` or earlier runs too."""
        while (due := self.due()) is not None and due <= now:
            timer = heapq.heappop(self._heap)[2]
            action, timer.action = timer.action, None
            assert action is not None
            action()
