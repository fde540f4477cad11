"""The order in which the records of one model are called: one at a time for each key, many keys at a time."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_UNACKNOWLEDGED_PER_CALL: Final = 4
_MOST_BYTES: Final = 64 * 1024 * 1024


class CallQueue(Generic[T]):
    """Jobs that wait, those whose call is in flight, and those whose outcome is not acknowledged yet.

    A job without key has no order. `full` and `drained` say when to stop and resume reading.
    """

    def __init__(self, limit: int) -> None:
        """`limit` is the number of calls in flight."""
        self._limit = limit
        self._ready: deque[tuple[T, bytes | None, int]] = deque()
        self._behind: dict[bytes, deque[tuple[T, int]]] = {}
        """By key that is ready or being worked on: the jobs after that one."""
        self.queued = 0
        self._queued_bytes = 0
        self.calling = 0
        self.unacknowledged = 0

    def put(self, job: T, key: bytes | None, size: int) -> None:
        """A job that was read; `size` is what it holds in memory, in bytes."""
        self.queued += 1
        self._queued_bytes += size
        if key is None:
            self._ready.append((job, None, size))
        elif key in self._behind:
            self._behind[key].append((job, size))
        else:
            self._behind[key] = deque()
            self._ready.append((job, key, size))

    def startable(self) -> Iterator[T]:
        """Take the jobs whose calls may start now; each has to be told `called` and then `finished`."""
        most_unacknowledged = self._limit * _UNACKNOWLEDGED_PER_CALL
        while self._ready and self.calling < self._limit and self.unacknowledged < most_unacknowledged:
            job, _, size = self._ready.popleft()
            self.queued -= 1
            self._queued_bytes -= size
            self.calling += 1
            yield job

    def called(self) -> None:
        """A call has ended; its outcome goes to Kafka."""
        self.calling -= 1
        self.unacknowledged += 1

    def finished(self, key: bytes | None) -> None:
        """An outcome is acknowledged, or given up: the next job of its key may start, before younger ones."""
        self.unacknowledged -= 1
        if key is None:
            return
        behind = self._behind[key]
        if behind:
            job, size = behind.popleft()
            self._ready.appendleft((job, key, size))
        else:
            del self._behind[key]

    def drop(self, unwanted: Callable[[T], bool]) -> int:
        """Forget jobs that have not started; returns the bytes that they held."""
        before = self._queued_bytes
        ready, self._ready = self._ready, deque()
        waiting = [*ready]
        # Keys with a job in ready start over; those being worked on keep their place.
        for _, key, _ in ready:
            if key is not None:
                waiting += [(job, key, size) for job, size in self._behind.pop(key)]
        self.queued, self._queued_bytes = 0, 0
        for key, behind in self._behind.items():
            kept = deque((job, size) for job, size in behind if not unwanted(job))
            self._behind[key] = kept
            self.queued += len(kept)
            self._queued_bytes += sum(size for _, size in kept)
        for job, key, size in waiting:
            if not unwanted(job):
                self.put(job, key, size)
        return before - self._queued_bytes

    @property
    def full(self) -> bool:
        """No more should be read."""
        return self.queued >= self._limit or self._queued_bytes >= _MOST_BYTES

    @property
    def drained(self) -> bool:
        """Reading may go on."""
        return self.queued <= self._limit // 2 and self._queued_bytes <= _MOST_BYTES // 2

    @property
    def idle(self) -> bool:
        """Nothing that was started is unfinished."""
        return not self.calling and not self.unacknowledged
