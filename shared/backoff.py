"""Attempts, with the delays between them."""

import asyncio
from dataclasses import dataclass
from typing import Self

from shared.delays import exponential


@dataclass(frozen=True, slots=True)
class Attempt:
    """`number` counts from 1; `delay` is in seconds, until the next attempt if there is one."""

    number: int
    delay: float
    is_last: bool


class Attempts:
    """`async for attempt in Attempts(...)`: the body again and again, after growing delays, until it returns or raises.

    Endless, or `most` attempts at most; after the last one the loop ends at once.
    """

    def __init__(self, first: float, cap: float, most: int | None = None) -> None:
        self._delays = exponential(first, cap)
        self._most = most
        self._number = 0
        self._delay = 0.0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        if self._number == self._most:
            raise StopAsyncIteration
        if self._number:
            await asyncio.sleep(self._delay)
        self._number += 1
        self._delay = next(self._delays)
        return Attempt(self._number, self._delay, self._number == self._most)
