"""Which offset may be committed while records are still being worked on."""

import heapq


class Progress:
    """Offsets of one partition that were read and are not finished. Not all offsets exist, and any may finish first.

    The committed offset is the next one to read after a restart, so it never passes an unfinished record.
    """

    def __init__(self, start: int) -> None:
        self._next = start
        self._open: list[int] = []
        self._finished: set[int] = set()

    def begin(self, offset: int) -> None:
        """A record was read. Offsets come in ascending order."""
        self._next = offset + 1
        heapq.heappush(self._open, offset)

    def skip(self, offset: int) -> None:
        """A record was read that needs no work."""
        self._next = offset + 1

    def finish(self, offset: int) -> None:
        """The record needs nothing any more: what it caused has been acknowledged."""
        self._finished.add(offset)
        while self._open and self._open[0] in self._finished:
            self._finished.discard(heapq.heappop(self._open))

    @property
    def committable(self) -> int:
        """The offset to commit."""
        return self._open[0] if self._open else self._next

    @property
    def position(self) -> int:
        """The offset that is read next."""
        return self._next

    @property
    def unfinished(self) -> int:
        """How many records are being worked on."""
        return len(self._open) - len(self._finished)
