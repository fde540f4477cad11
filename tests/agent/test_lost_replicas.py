"""Two real Tritons with their agents behind a real scheduler and Envoy: one of them is killed under traffic."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from shared import rpc
from tests.agent.artifacts import triton_double
from tests.agent.calls import body
from tests.agent.conftest import AgentProcess, SchedulerPeer, Server, triton_of
from tests.agent.test_agent_with_servers import grpc_request
from tests.peers.feed import until_all_available
from tests.peers.mesh import Mesh
from tests.scheduler.builders import model

SECONDS = 90.0
REST_CALLERS, GRPC_CALLERS = 3, 3


@dataclass
class Calls:
    failures: list[str] = field(default_factory=list)
    count: int = 0
    _noted: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, failure: str) -> None:
        self.count += 1
        if failure:
            self.failures.append(failure)
        self._noted.set()

    async def more(self, number: int) -> None:
        goal = self.count + number
        async with asyncio.timeout(SECONDS):
            while self.count < goal:
                self._noted.clear()
                await self._noted.wait()


@dataclass
class Pair:
    mesh: Mesh
    servers: list[Server]
    agents: list[AgentProcess]

    @contextlib.asynccontextmanager
    async def under_load(self) -> AsyncIterator[Calls]:
        calls, stop = Calls(), asyncio.Event()
        url = f"http://127.0.0.1:{self.mesh.data_port}/v2/models/double/infer"

        async def rest(client: aiohttp.ClientSession) -> None:
            while not stop.is_set():
                async with client.post(url, json=body()) as answer:
                    text = await answer.text()
                    calls.note("" if answer.status == 200 and "[2,4,6]" in text else f"{answer.status} {text}")

        async def over_grpc(stub: "v2_dataplane_pb2_grpc.GRPCInferenceServiceAsyncStub") -> None:
            while not stop.is_set():
                try:
                    await stub.ModelInfer(grpc_request("double"), metadata=(("seldon-model", "double"),))
                    calls.note("")
                except grpc.aio.AioRpcError as error:
                    calls.note(f"{error.code().name} {error.details()}")

        async with (
            aiohttp.ClientSession() as client,
            grpc.aio.insecure_channel(f"127.0.0.1:{self.mesh.data_port}") as channel,
            asyncio.TaskGroup() as callers,
        ):
            stub: v2_dataplane_pb2_grpc.GRPCInferenceServiceAsyncStub
            stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
            for _ in range(REST_CALLERS):
                callers.create_task(rest(client))
            for _ in range(GRPC_CALLERS):
                callers.create_task(over_grpc(stub))
            try:
                await calls.more(100)
                yield calls
            finally:
                stop.set()


@pytest.fixture
async def pair(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> AsyncIterator[Pair]:
    async with contextlib.AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(Mesh.start())
        servers = [triton_of(tmp_path_factory) for _ in range(2)]
        for server in servers:
            stack.callback(server.kill)
            await asyncio.to_thread(server.start)
        agents = [
            AgentProcess(server, SchedulerPeer(), {"server-idx": str(index), "capabilities": "triton"})
            for index, server in enumerate(servers)
        ]
        for agent in agents:
            await agent.spawn(mesh.agent_port)
            stack.push_async_callback(_end, agent)
        async with rpc.channel(f"127.0.0.1:{mesh.scheduler_port}") as channel:
            api: scheduler_pb2_grpc.SchedulerAsyncStub = scheduler_pb2_grpc.SchedulerStub(channel)
            uri = str(triton_double(tmp_path / "double"))
            wanted = model("double", uri, requirements=("triton",), replicas=2)
            await api.LoadModel(pb.LoadModelRequest(model=wanted), wait_for_ready=True)
            await until_all_available(api, {"double"}, SECONDS)
        yield Pair(mesh, servers, agents)


async def _end(agent: AgentProcess) -> None:
    if agent.process is not None:
        await agent.end(signal.SIGKILL)


async def test_kill_9_of_one_of_two_costs_no_call(pair: Pair) -> None:
    server, agent = pair.servers[0], pair.agents[0]
    async with pair.under_load() as calls:
        server.kill()
        await calls.more(1_000)
        await asyncio.to_thread(server.start)
        await calls.more(200)
        server.kill()
        await agent.end(signal.SIGKILL)
        await calls.more(1_000)
    assert calls.failures == []
