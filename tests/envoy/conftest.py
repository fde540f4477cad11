"""One scheduler and one real Envoy for the session, with echoing inference servers and agents behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc.aio
import httpx
import pytest_asyncio
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from shared import rpc
from shared.tracing.config import TracingConfig
from tests.peers.agent import AgentPeer
from tests.peers.feed import until_all_available
from tests.peers.inference import upstream
from tests.peers.mesh import Mesh
from tests.peers.ports import free_port
from tests.scheduler.builders import model

MODELS = {"iris": "sklearn", "add": "triton", "cold": "down"}
"""Model to capability. `iris` is on an MLServer, `add` on a Triton, `cold` on a server that does not listen."""


@dataclass
class World:
    """The mesh and its clients."""

    mesh: Mesh
    http: httpx.AsyncClient
    grpc: "v2_dataplane_pb2_grpc.GRPCInferenceServiceAsyncStub"
    agents: dict[str, AgentPeer] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.mesh.data_port}"

    async def load(self, submitted: pb.Model, version: int = 1) -> None:
        """Load a model and wait until it is available."""
        async with rpc.channel(f"127.0.0.1:{self.mesh.scheduler_port}") as channel:
            api = scheduler_pb2_grpc.SchedulerStub(channel)
            await api.LoadModel(pb.LoadModelRequest(model=submitted), wait_for_ready=True)
            feed = api.SubscribeModelStatus(pb.ModelSubscriptionRequest(subscriberName="test"), timeout=20)
            async for message in feed:
                latest = message.versions[0]
                wanted = message.modelName == submitted.meta.name and latest.version == version
                if wanted and latest.state.state == pb.ModelStatus.ModelAvailable:
                    feed.cancel()
                    return

    async def unload(self, name: str) -> None:
        """Unload a model and wait until it is gone."""
        async with rpc.channel(f"127.0.0.1:{self.mesh.scheduler_port}") as channel:
            api = scheduler_pb2_grpc.SchedulerStub(channel)
            await api.UnloadModel(pb.UnloadModelRequest(model=pb.ModelReference(name=name)))
            feed = api.SubscribeModelStatus(pb.ModelSubscriptionRequest(subscriberName="test"), timeout=20)
            async for message in feed:
                latest = message.versions[0]
                if message.modelName == name and latest.state.state == pb.ModelStatus.ModelTerminated:
                    feed.cancel()
                    return

    async def until_ready(self) -> None:
        """Wait until a restarted scheduler knows again what runs and has answered Envoy."""
        async with rpc.channel(f"127.0.0.1:{self.mesh.scheduler_port}") as channel:
            await until_all_available(scheduler_pb2_grpc.SchedulerStub(channel), MODELS)

    async def metric(self, start: str) -> float:
        """Sum of the scheduler's samples that start so."""
        text = (await self.http.get(f"http://127.0.0.1:{self.mesh.health_port}/metrics")).text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(start))

    async def stats(self) -> str:
        return (await self.http.get(f"http://127.0.0.1:{self.mesh.stats_port}/stats/prometheus")).text


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world() -> AsyncIterator[World]:
    async with open_world() as made:
        yield made


@contextlib.asynccontextmanager
async def open_world(tracing: TracingConfig = None) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        # Restarts in tests take their time on a busy machine.
        mesh = await stack.enter_async_context(Mesh.start(tracing, {"SCHEDULER_CONNECT_RETRY_SECONDS": "30"}))
        server = await stack.enter_async_context(upstream("server"))
        proxy = await stack.enter_async_context(upstream("agent"))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{mesh.data_port}", options=rpc.unlimited(()))
        )
        made = World(mesh, http, v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel))
        for name, server_type, ports in (
            ("mlserver", "mlserver", (server.http_port, server.grpc_port)),
            ("triton", "triton", (server.http_port, server.grpc_port)),
            ("down", "mlserver", (free_port(), free_port())),
        ):
            capability = "sklearn" if name == "mlserver" else name
            made.agents[name] = AgentPeer(
                f"127.0.0.1:{mesh.agent_port}",
                *ports,
                server=name,
                server_type=server_type,
                capabilities=(capability,),
                proxy_ports=(proxy.http_port, proxy.grpc_port),
            )
            task = asyncio.create_task(made.agents[name].run_for_ever())
            stack.callback(task.cancel)
        for name, capability in MODELS.items():
            await made.load(model(name, requirements=(capability,)))
        yield made
