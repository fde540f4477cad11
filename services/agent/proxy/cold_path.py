"""What REST and gRPC requests share on their way through the agent: load first, try again, one deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TypeVar

from services.agent.core.holdings import ModelState
from services.agent.models.lifecycle import Models
from services.agent.server.client import InferenceServer
from services.agent.spans import Request
from shared.errors import Unavailable

Answer = TypeVar("Answer")


class Miss(Enum):
    """Why an attempt to forward a request brought no answer for the caller."""

    NOT_LOADED = auto()
    """The server does not have the model."""
    NO_SERVER = auto()
    """The server does not answer."""


class AskElsewhere(Unavailable):
    """This replica's server is down, and another replica may well answer."""


_MOST_RELOADS = 2
_MOST_LOST_CONNECTIONS = 3


class ColdPath:
    """Forwards requests to models that may not be in the server's memory, or while the server itself comes back."""

    def __init__(self, models: Models, server: InferenceServer, wait_seconds: float) -> None:
        """`wait_seconds` bounds what one request waits for a server that is down."""
        self._models = models
        self._server = server
        self._wait_seconds = wait_seconds

    async def forward(
        self,
        internal: str,
        attempt: Callable[[bool], Awaitable[Answer | Miss]],
        request: Request,
        *,
        elsewhere: bool = False,
    ) -> Answer:
        """Call `attempt` until it brings an answer; its argument says that this is the last try, to be taken as it is.

        Raises NotFound for a model that this replica does not hold, Unavailable when the server stays away, and what a
        load raises. With `elsewhere`, other replicas can answer as well: a server that is down is not waited for, and
        AskElsewhere says so at once.
        """
        if elsewhere and not self._server.connected:
            raise self._down()
        deadline = asyncio.get_running_loop().time() + self._wait_seconds
        loads = await self._loaded(internal, 0, deadline, request)
        self._models.holdings.used(internal, int(time.time()))
        reloads = lost = 0
        while True:
            outcome = await attempt(reloads >= _MOST_RELOADS)
            if not isinstance(outcome, Miss):
                return outcome
            if outcome is Miss.NOT_LOADED:
                reloads += 1
            elif elsewhere and not self._server.connected:
                raise self._down()
            else:
                lost += 1
                if lost > _MOST_LOST_CONNECTIONS:
                    raise Unavailable(f"{self._server.kind} dropped the connection {lost} times during this request")
                await self._server.wait_live(self._left(deadline))
                # It may have forgotten the model or not; the next attempt tells.
                continue
            loads = await self._loaded(internal, loads, deadline, request)

    def _down(self) -> AskElsewhere:
        return AskElsewhere(f"{self._server.kind} at {self._server.target} does not answer: ask another replica")

    async def _loaded(self, internal: str, seen_loads: int, deadline: float, request: Request) -> int:
        held = self._models.holdings.get(internal)
        if held is not None and held.state is ModelState.LOADED and held.loads != seen_loads:
            return held.loads
        try:
            async with asyncio.timeout_at(deadline):
                return await self._models.ensure_loaded(internal, seen_loads, request)
        except TimeoutError:
            raise Unavailable(
                f"model {internal} is not loaded and {self._server.kind} did not load it in {self._wait_seconds:.0f} s"
            ) from None

    @staticmethod
    def _left(deadline: float) -> float:
        return max(0.0, deadline - asyncio.get_running_loop().time())
