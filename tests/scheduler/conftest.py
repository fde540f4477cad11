"""A whole scheduler inside the test's own event loop, on free ports."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc.aio
import pytest
from mlops.agent import agent_pb2_grpc
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.scheduler.app import serve
from services.scheduler.settings import SchedulerSettings
from services.scheduler.store.database import Store
from shared import rpc
from tests.peers.agent import AgentPeer
from tests.peers.envoy import EnvoyPeer, Refusal, XdsClient
from tests.peers.feed import until_all_available
from tests.peers.ports import free_port
from tests.scheduler.builders import model

HOST = "127.0.0.1"
_PATIENCE: Final = 20.0
"""Seconds after which a wait is a failure."""
_QUICK = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20))


@dataclass
class Running:
    """A scheduler with its clients; peers that are added end with it."""

    settings: SchedulerSettings
    api: "scheduler_pb2_grpc.SchedulerAsyncStub"
    agents: "agent_pb2_grpc.AgentServiceAsyncStub"
    channel: grpc.aio.Channel
    _peers: list[asyncio.Task[None]] = field(default_factory=list)

    def add_peer(self, serve: Callable[[asyncio.Event], Awaitable[None]], ready: asyncio.Event) -> asyncio.Task[None]:
        async def until_it_ends() -> None:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await serve(ready)

        task = asyncio.create_task(until_it_ends())
        self._peers.append(task)
        return task

    async def add_agent(self, peer: AgentPeer | None = None) -> AgentPeer:
        peer = peer or AgentPeer(self.agent_target, free_port(), free_port())
        ready = asyncio.Event()
        self.add_peer(peer.run, ready)
        await ready.wait()
        return peer

    async def add_envoy(self, refuse: Refusal = lambda _: "") -> EnvoyPeer:
        peer = EnvoyPeer(f"{HOST}:{self.settings.xds_port}", XdsClient(refuse=refuse))
        ready = asyncio.Event()
        self.add_peer(peer.run, ready)
        await ready.wait()
        return peer

    @property
    def agent_target(self) -> str:
        return f"{HOST}:{self.settings.agent_port}"

    async def load(self, submitted: pb.Model) -> None:
        await self.api.LoadModel(pb.LoadModelRequest(model=submitted), wait_for_ready=True)

    async def until_all_available(self, names: set[str]) -> None:
        await until_all_available(self.api, names, _PATIENCE)

    async def until(self, name: str, state: int, version: int = 1) -> pb.ModelStatusResponse:
        """Wait for a state (a `pb.ModelStatus` value) of a model's latest version."""
        feed = self.api.SubscribeModelStatus(pb.ModelSubscriptionRequest(subscriberName="test"), timeout=_PATIENCE)
        seen = []
        try:
            async for message in feed:
                (latest,) = message.versions
                if (message.modelName, latest.state.state, latest.version) == (name, state, version):
                    feed.cancel()
                    return message
                seen.append(f"{message.modelName}_{latest.version}: {latest.state.state} {latest.state.reason}")
        except grpc.aio.AioRpcError as error:
            raise AssertionError(f"{name}_{version} does not reach {state}: {seen}") from error
        raise AssertionError("the feed ended")

    async def stop(self) -> None:
        for task in self._peers:
            task.cancel()
        await asyncio.gather(*self._peers, return_exceptions=True)
        await self.channel.close()


@contextlib.asynccontextmanager
async def running(folder: Path, *more_flags: str) -> AsyncIterator[Running]:
    ports = [free_port() for _ in range(5)]
    names = ("--scheduler-port", "--agent-port", "--envoy-port", "--health-probe-port", "--dataflow-port")
    flags = [text for name, port in zip(names, ports, strict=True) for text in (name, str(port))]
    settings = SchedulerSettings.load(["--host", HOST, "--db-path", str(folder), *flags, *more_flags])
    store, stopping = Store(folder / "scheduler.db"), asyncio.Event()
    service = asyncio.create_task(serve(settings, store, stopping))
    channel = rpc.channel(f"{HOST}:{settings.scheduler_port}", _QUICK)
    async with rpc.channel(f"{HOST}:{settings.agent_port}", _QUICK) as agent_channel:
        made = Running(
            settings,
            scheduler_pb2_grpc.SchedulerStub(channel),
            agent_pb2_grpc.AgentServiceStub(agent_channel),
            channel,
        )
        await made.api.SchedulerStatus(pb.SchedulerStatusRequest(), wait_for_ready=True)
        try:
            yield made
        finally:
            await made.stop()
            stopping.set()
            await service
            store.close()


@pytest.fixture
async def scheduler(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def with_iris(scheduler: Running) -> Running:
    """One agent, one Envoy, and the model iris available."""
    await scheduler.add_envoy()
    await scheduler.add_agent()
    await scheduler.load(model("iris"))
    await scheduler.until("iris", pb.ModelStatus.ModelAvailable)
    return scheduler
