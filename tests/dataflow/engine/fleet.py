"""Engines as processes below a real scheduler, which deals the pipelines out to them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from mlops.scheduler import scheduler_pb2 as pb

from shared.kafka.config import KafkaConfig
from tests.dataflow.engine.mesh import PATIENCE
from tests.dataflow.engine.process import launch_engine
from tests.peers.ports import free_port
from tests.scheduler.builders import pipeline
from tests.scheduler.conftest import Running, running

_LOOK_SECONDS = 0.1


@dataclass
class Fleet:
    """Engines by name. One that ends without being asked to is a failure of the test."""

    config: KafkaConfig
    scheduler: Running
    folder: Path
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    async def start(self, name: str, **settings: str) -> None:
        """Returns when the engine is ready; `settings` are environment variables."""
        port = self.ports[name] = free_port()
        flags = {"replica-id": name, "health-server-port": str(port)}
        self.processes[name] = await launch_engine(
            self.config, self.scheduler.settings.dataflow_port, self.folder, flags, settings
        )
        async with httpx.AsyncClient() as client:
            await self._until(lambda: _answers(client, f"http://127.0.0.1:{port}/ready"), f"engine {name} to be ready")

    async def kill(self, name: str) -> None:
        await self._end(name, lambda process: process.kill())

    async def stop(self, name: str) -> None:
        await self._end(name, lambda process: process.terminate())

    async def load(self, name: str, *models: str) -> None:
        """A chain of these models; returns when an engine works on it."""
        request = pb.LoadPipelineRequest(pipeline=pipeline(name, *models))
        await self.scheduler.api.LoadPipeline(request, wait_for_ready=True)
        await self.settled([name])

    async def settled(self, names: Sequence[str]) -> None:
        """Returns when all of these pipelines are ready at those who own them now."""

        async def ready() -> bool:
            for name in names:
                (answer,) = [m async for m in self.scheduler.api.PipelineStatus(pb.PipelineStatusRequest(name=name))]
                if answer.versions[-1].state.status != pb.PipelineVersionState.PipelineReady:
                    return False
            return True

        await self._until(ready, f"{', '.join(names)} to be ready")

    async def metrics(self, name: str) -> str:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{self.ports[name]}/metrics")).text

    def check(self) -> None:
        ended = {name: process.returncode for name, process in self.processes.items() if process.returncode is not None}
        assert not ended, f"engines that ended by themselves, with their codes: {ended}"

    async def _end(self, name: str, how: Callable[[asyncio.subprocess.Process], None]) -> None:
        self.check()
        process = self.processes.pop(name)
        how(process)
        await asyncio.wait_for(process.wait(), PATIENCE)

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not await condition():
                    self.check()
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE:g} s for {what}") from None


@asynccontextmanager
async def fleet(config: KafkaConfig, folder: Path) -> AsyncIterator[Fleet]:
    """A scheduler that lets up to four engines share a pipeline; no engines yet."""
    flags = ("--namespace", config.topics.namespace, "--max-shard-count-multiplier", "4")
    async with running(folder, *flags) as scheduler:
        made = Fleet(config, scheduler, folder)
        try:
            yield made
        finally:
            for process in made.processes.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False
