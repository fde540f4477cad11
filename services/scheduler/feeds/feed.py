"""Change feeds to subscribers: the current state first, then every change; who is too slow is dropped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, Generic, TypeVar

from services.scheduler.metrics import SUBSCRIBERS_DROPPED
from shared.errors import Unavailable

MAX_BEHIND: Final = 10_000
"""Messages that a subscriber may be behind before its stream is ended; it reconnects and gets the state afresh."""
Message = TypeVar("Message")


class Feed(Generic[Message]):
    """One kind of message to any number of subscribers."""

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber[Message]] = set()

    def publish(self, make: Callable[[], Message]) -> None:
        """`make` is called once, and only if somebody listens."""
        if not self._subscribers:
            return
        message = make()
        for subscriber in list(self._subscribers):
            subscriber.put(message)

    async def subscribe(self, current: Callable[[], Iterable[Message]]) -> AsyncIterator[Message]:
        """Endless. Raises Unavailable when this subscriber has fallen too far behind."""
        subscriber = _Subscriber[Message]()
        self._subscribers.add(subscriber)
        try:
            for message in list(current()):
                yield message
            while True:
                yield await subscriber.get()
        finally:
            self._subscribers.discard(subscriber)


class _Subscriber(Generic[Message]):
    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue(MAX_BEHIND)
        self._dropped = False

    def put(self, message: Message) -> None:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            if not self._dropped:
                SUBSCRIBERS_DROPPED.inc()
            self._dropped = True

    async def get(self) -> Message:
        if self._dropped:
            raise Unavailable(f"more than {MAX_BEHIND} changes behind; subscribe again")
        return await self._queue.get()


class Coalescer:
    """Calls back once per name and period, however often it is told."""

    def __init__(self, period: float, emit: Callable[[str], None]) -> None:
        self._period = period
        self._emit = emit
        self._scheduled: dict[str, asyncio.TimerHandle] = {}

    def notify(self, name: str) -> None:
        if name not in self._scheduled:
            loop = asyncio.get_running_loop()
            self._scheduled[name] = loop.call_later(self._period, self._fire, name)

    def _fire(self, name: str) -> None:
        with contextlib.suppress(KeyError):
            del self._scheduled[name]
        self._emit(name)
