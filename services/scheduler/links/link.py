"""The scheduler's end of one peer's subscription: an agent, a gateway or a dataflow engine."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Generic, TypeVar

MAX_INSTRUCTIONS_BEHIND: Final = 100_000
"""Instructions a peer may have waiting before its subscription is ended; it subscribes anew and is told again."""
Message = TypeVar("Message")


class Link(Generic[Message]):
    """Instructions on their way to a peer, until `end`."""

    def __init__(self) -> None:
        self._instructions: asyncio.Queue[Message] = asyncio.Queue(MAX_INSTRUCTIONS_BEHIND)
        self._ended = asyncio.Event()

    def send(self, message: Message) -> bool:
        """False when the peer is too far behind to be sent more."""
        try:
            self._instructions.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    def end(self) -> None:
        """Another subscription took over, or this one does not take its instructions."""
        self._ended.set()

    async def instructions(self) -> AsyncIterator[Message]:
        """Until the end."""
        over = asyncio.create_task(self._ended.wait())
        getter: asyncio.Task[Message] | None = None
        try:
            while not over.done():
                getter = asyncio.create_task(self._instructions.get())
                done, _ = await asyncio.wait({getter, over}, return_when=asyncio.FIRST_COMPLETED)
                if getter not in done:
                    return
                yield getter.result()
        finally:
            over.cancel()
            if getter is not None:
                getter.cancel()
