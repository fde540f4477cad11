"""Turns at something that serves a few at a time, where one that never ends holds up nobody for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Turns:
    """At most `count` have a turn at once. One that takes longer than `patience` seconds goes on without counting, so
    that those behind it come next."""

    def __init__(self, count: int, patience: float) -> None:
        self._free = asyncio.Semaphore(count)
        self._patience = patience

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await self._free.acquire()
        counting = True

        def no_longer() -> None:
            nonlocal counting
            if counting:
                counting = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._patience, no_longer)
        try:
            yield
        finally:
            timer.cancel()
            no_longer()
