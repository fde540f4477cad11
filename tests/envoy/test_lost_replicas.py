"""A server or an agent that dies costs no caller an error: another replica answers, or the same one a little later."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import grpc.aio
import httpx
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from tests.envoy.conftest import World
from tests.peers.agent import AgentPeer
from tests.peers.inference import FAIL_BOTH, FAIL_SERVER
from tests.peers.mesh import ROOT
from tests.peers.ports import free_port
from tests.scheduler.builders import model

pytestmark = pytest.mark.asyncio(loop_scope="session")
CALLERS = 4
SECONDS = 60.0


@dataclass
class Process:
    """A server or an agent's proxy that can be killed and started again at its ports."""

    who: str
    http_port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        arguments = (self.who, str(self.http_port), str(self.grpc_port))
        self.running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.peers.inference", *arguments, cwd=ROOT
        )

    async def answers(self) -> None:
        async with httpx.AsyncClient() as client, asyncio.timeout(SECONDS):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await client.get(f"http://127.0.0.1:{self.http_port}/")
                    return
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        if self.running is not None:
            self.running.kill()
            await self.running.wait()
            self.running = None


@dataclass
class Replica:
    server: Process = field(default_factory=lambda: Process("server"))
    agent: Process = field(default_factory=lambda: Process("agent"))

    @property
    def both(self) -> tuple[Process, Process]:
        return self.server, self.agent


@dataclass
class Calls:
    """What callers over REST and gRPC got, who asked one call after the other."""

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


@contextlib.asynccontextmanager
async def replicas(world: World, name: str, number: int) -> AsyncIterator[list[Replica]]:
    """A model of that name on so many replicas of a server of its own. Their agents stay with the scheduler, which so
    learns of nothing."""
    made = [Replica() for _ in range(number)]
    processes = [process for replica in made for process in replica.both]
    peers: list[asyncio.Task[None]] = []
    try:
        for process in processes:
            await process.start()
        for process in processes:
            await process.answers()
        for index, replica in enumerate(made):
            peer = AgentPeer(
                f"127.0.0.1:{world.mesh.agent_port}",
                replica.server.http_port,
                replica.server.grpc_port,
                server=name,
                replica=index,
                capabilities=(name,),
                proxy_ports=(replica.agent.http_port, replica.agent.grpc_port),
            )
            registered = asyncio.Event()
            peers.append(asyncio.create_task(peer.run_for_ever(registered)))
            await registered.wait()
        await world.load(model(name, requirements=(name,), replicas=number))
        yield made
        await world.unload(name)
    finally:
        for task in peers:
            task.cancel()
        for process in processes:
            await process.kill()


@contextlib.asynccontextmanager
async def under_load(world: World, name: str) -> AsyncIterator[Calls]:
    calls, stop = Calls(), asyncio.Event()

    async def ask(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            answer = await client.post(f"{world.url}/v2/models/{name}/infer", content=b"12345")
            calls.note("" if answer.status_code == 200 else f"{answer.status_code} {answer.text}")

    async def ask_grpc() -> None:
        while not stop.is_set():
            try:
                await world.grpc.ModelInfer(oip.ModelInferRequest(), metadata=(("seldon-model", name),))
                calls.note("")
            except grpc.aio.AioRpcError as error:
                calls.note(f"{error.code().name} {error.details()}")

    async with httpx.AsyncClient(timeout=SECONDS) as client, asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(ask(client))
            callers.create_task(ask_grpc())
        await calls.more(50)
        try:
            yield calls
        finally:
            stop.set()


async def kill(processes: Sequence[Process]) -> None:
    for process in processes:
        await process.kill()


async def test_a_replica_killed_with_its_agent_costs_no_call(world: World) -> None:
    async with replicas(world, "lost-both", 2) as (first, _):
        async with under_load(world, "lost-both") as calls:
            await kill(first.both)
            await calls.more(1_000)
        assert calls.failures == []


async def test_a_server_killed_beside_its_agent_costs_no_call(world: World) -> None:
    async with replicas(world, "lost-server", 2) as (first, _):
        async with under_load(world, "lost-server") as calls:
            await kill([first.server])
            await calls.more(1_000)
            await first.server.start()
            await first.server.answers()
            await calls.more(200)
        assert calls.failures == []


async def test_two_of_three_replicas_killed_cost_no_call(world: World) -> None:
    async with replicas(world, "lost-two", 3) as (first, second, _):
        async with under_load(world, "lost-two") as calls:
            await kill([*first.both, *second.both])
            await calls.more(1_000)
        assert calls.failures == []


async def test_the_only_replica_that_starts_anew_costs_waiting(world: World) -> None:
    async with replicas(world, "alone", 1) as (only,):
        async with under_load(world, "alone") as calls:
            for _ in range(2):
                await kill(only.both)
                for process in only.both:
                    await process.start()
                for process in only.both:
                    await process.answers()
                await calls.more(100)
        assert calls.failures == []


@pytest.mark.parametrize("status", [400, 404])
async def test_a_genuine_error_is_asked_of_no_more_than_each_priority(world: World, status: int) -> None:
    async with replicas(world, f"wrong-{status}", 2):
        url, headers = f"{world.url}/v2/models/wrong-{status}/infer", {FAIL_BOTH: str(status)}
        answer = await world.http.post(url, content=b"1", headers=headers)
        assert answer.status_code == status
        # What is said between agents and Envoy does not reach callers.
        assert not {"x-envoy-ratelimited", "x-seldon-elsewhere"} & set(answer.headers)
        name = f"wrong-{status}"
        metadata = (("seldon-model", name), (FAIL_BOTH, "NOT_FOUND"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.grpc.ModelInfer(oip.ModelInferRequest(), metadata=metadata, timeout=SECONDS)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert not {"x-envoy-ratelimited", "x-seldon-elsewhere"} & {key for key, _ in caught.value.trailing_metadata()}


async def test_what_no_server_knows_is_answered_by_an_agent(world: World) -> None:
    async with replicas(world, "evicted", 2):
        url, headers = f"{world.url}/v2/models/evicted/infer", {FAIL_SERVER: "404"}
        for _ in range(20):
            answer = await world.http.post(url, content=b"1", headers=headers)
            assert (answer.status_code, answer.json()["who"]) == (200, "agent")
