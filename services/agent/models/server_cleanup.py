"""What is left of models that nobody holds any more is taken out of the server and off the disk, in the background."""

import asyncio

from services.agent.repository.folders import Repository
from services.agent.server.client import InferenceServer, ServerRejected
from shared.backoff import Attempts
from shared.errors import SeldonError
from shared.logs import logger
from shared.threads import to_its_end

_log = logger("server-cleanup")
_UNLOAD_SECONDS = 60.0


class ServerCleanup:
    """One task per internal name. A load that was given up goes on in the server, perhaps for ever: so nobody waits for
    these.

    The files go last: Triton waits for ever when those of a model go while it loads it.
    """

    def __init__(self, server: InferenceServer, repository: Repository) -> None:
        self._server = server
        self._repository = repository
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()

    def begin(self, internal: str) -> None:
        """Unload the model, whether it is loaded, being loaded or neither, then remove its files. One under way is
        joined."""
        if internal in self._tasks:
            return
        task = asyncio.create_task(self._clean_up(internal), name=f"clean up {internal}")
        self._tasks[internal] = task
        task.add_done_callback(lambda _: self._ended(internal, task))

    def _ended(self, internal: str, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(internal) is task:
            del self._tasks[internal]

    def give_up(self, internal: str) -> bool:
        """Somebody wants the model again. Whether there was something to give up."""
        task = self._tasks.pop(internal, None)
        return task is not None and task.cancel()

    async def settled(self, *names: str, at_most: float) -> None:
        """Wait for the given ones to end, `at_most` so many seconds."""
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=at_most)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _clean_up(self, internal: str) -> None:
        await self._unload(internal)
        await to_its_end(self._repository.remove, internal)

    async def _unload(self, internal: str) -> None:
        async for _ in Attempts(0.5, 30.0):
            try:
                await self._server.wait_not_loading(internal)
                async with self._one_at_a_time:
                    await self._server.unload(internal, _UNLOAD_SECONDS)
                return
            except SeldonError as error:
                _log.warning("not taken out of the server", model=internal, reason=str(error))
                if isinstance(error, ServerRejected) or not await self._server.live():
                    return  # one that is gone holds nothing; when it comes back, it is compared with what is held
