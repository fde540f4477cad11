"""Where requests for one pipeline or model are written, where their answers come, and whether it takes more of them."""

import asyncio
import itertools
from collections.abc import Iterator

from services.pipelinegateway.core.resources import Resource


class Route:
    """The topics of one resource, with the requests that are on their way through them."""

    def __init__(self, resource: Resource, inputs: str, answers: frozenset[str], partitions: int) -> None:
        self.resource = resource
        self.inputs = inputs
        self.answers = answers
        """Every topic on which an answer may come."""
        self.partitions = partitions
        self.in_flight = 0
        self._turn: Iterator[int] = itertools.cycle(range(partitions))
        self._idle = asyncio.Event()
        self._idle.set()

    def next_partition(self) -> int:
        """Each in turn."""
        return next(self._turn)

    def __enter__(self) -> "Route":
        self.in_flight += 1
        self._idle.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    async def idle(self) -> None:
        """Until no request is on its way."""
        await self._idle.wait()
