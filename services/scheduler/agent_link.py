"""The scheduler's end of one agent's subscription."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from mlops.agent import agent_pb2

MAX_INSTRUCTIONS_BEHIND: Final = 100_000
"""Instructions an agent may have waiting before its subscription is ended; it registers anew and is told again."""


class AgentLink:
    """Instructions on their way to an agent, until `end`."""

    def __init__(self) -> None:
        self._instructions: asyncio.Queue[agent_pb2.ModelOperationMessage] = asyncio.Queue(MAX_INSTRUCTIONS_BEHIND)
        self._ended = asyncio.Event()

    def send(self, message: agent_pb2.ModelOperationMessage) -> bool:
        """False when the agent is too far behind to be sent more."""
        try:
            self._instructions.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    def end(self) -> None:
        """Another subscription took over, or this one does not take its instructions."""
        self._ended.set()

    async def instructions(self) -> AsyncIterator[agent_pb2.ModelOperationMessage]:
        """Until the end."""
        over = asyncio.create_task(self._ended.wait())
        try:
            while not over.done():
                getter = asyncio.create_task(self._instructions.get())
                done, _ = await asyncio.wait({getter, over}, return_when=asyncio.FIRST_COMPLETED)
                if getter not in done:
                    getter.cancel()
                    return
                yield getter.result()
        finally:
            over.cancel()
