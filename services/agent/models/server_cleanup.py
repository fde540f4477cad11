"""What the server may still have of models that nobody holds any more is taken out of it, in the background."""

import asyncio
from collections.abc import Iterable

from services.agent.server.client import InferenceServer
from shared.backoff import exponential
from shared.errors import SeldonError
from shared.logs import logger

_log = logger("server-cleanup")


class ServerCleanup:
    """One task per internal name. A server may answer an unload only after the load before it, which may take for ever:
    so nobody waits for these, and each is one call without a deadline, not many that time out."""

    def __init__(self, server: InferenceServer) -> None:
        self._server = server
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, internal: str) -> None:
        """Unload the model, whether it is loaded, being loaded or neither. One under way is joined."""
        if internal in self._tasks:
            return
        task = asyncio.create_task(self._unload(internal), name=f"clean up {internal}")
        self._tasks[internal] = task
        task.add_done_callback(lambda _: self._ended(internal, task))

    def _ended(self, internal: str, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(internal) is task:
            del self._tasks[internal]

    def give_up(self, internal: str) -> None:
        """Somebody wants the model again."""
        task = self._tasks.pop(internal, None)
        if task is not None:
            task.cancel()

    async def settled(self, names: Iterable[str], at_most: float) -> None:
        """Wait for the given ones to end, `at_most` so many seconds."""
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=at_most)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _unload(self, internal: str) -> None:
        for delay in exponential(first=0.5, cap=30.0):
            try:
                await self._server.unload(internal, deadline=None)
                return
            except SeldonError as error:
                _log.warning("not taken out of the server", model=internal, reason=str(error))
                if not await self._server.live():
                    return  # it holds nothing then, and is compared with what is held when it comes back
            await asyncio.sleep(delay)
