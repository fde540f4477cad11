"""Nothing that the scheduler does, or that happens to it, costs a request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from tests.envoy.conftest import World
from tests.scheduler.builders import model

pytestmark = pytest.mark.asyncio(loop_scope="session")
CALLERS = 4


class Answers:
    """What callers got: every REST answer with a status other than 200, and the routes in the order of first sight."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.routes: list[str] = []
        self.count = 0
        self._noted = asyncio.Event()

    async def more(self, number: int) -> None:
        """Wait for so many more answers."""
        goal = self.count + number
        while self.count < goal:
            self._noted.clear()
            await self._noted.wait()

    def note(self, status: int, route: str, text: str) -> None:
        self.count += 1
        self._noted.set()
        if status != 200:
            self.failures.append(f"{status} {text}")
        elif route not in self.routes:
            self.routes.append(route)


@contextlib.asynccontextmanager
async def under_load(world: World, name: str) -> AsyncIterator[Answers]:
    """Callers that ask over REST and gRPC, one request after the other, for as long as the block runs."""
    answers, stop = Answers(), asyncio.Event()

    async def ask(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            answer = await client.get(f"{world.url}/v2/models/{name}")
            answers.note(answer.status_code, answer.headers.get("x-seldon-route", ""), answer.text)

    async def ask_grpc() -> None:
        while not stop.is_set():
            answer = await world.grpc.ModelInfer(oip.ModelInferRequest(), metadata=(("seldon-model", name),))
            answers.note(200, f":{answer.model_name}:", "")

    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(ask(client))
        callers.create_task(ask_grpc())
        yield answers
        stop.set()


async def test_updates_fail_no_request(world: World) -> None:
    await world.load(model("busy"))
    async with under_load(world, "busy") as answers:
        for version in range(2, 8):
            await world.load(model("busy", f"v{version}"), version=version)
    assert answers.failures == []
    assert answers.routes == [f":busy_{version}:" for version in range(1, 8)]


async def test_a_new_model_under_load_disturbs_no_other(world: World) -> None:
    async with under_load(world, "iris") as answers:
        for number in range(10):
            await world.load(model(f"other-{number}"))
    assert answers.failures == []
    assert answers.routes == [":iris_1:"]


async def test_a_killed_scheduler_is_not_missed_and_sends_nothing_again(world: World) -> None:
    mesh, agent = world.mesh, world.agents["mlserver"]
    await world.load(model("lasting"))
    told = list(agent.history)
    async with under_load(world, "lasting") as answers:
        assert mesh.scheduler is not None
        mesh.scheduler.kill()
        await mesh.scheduler.wait()
        await answers.more(50)
        await mesh.start_scheduler()
        await world.until_ready()
    assert answers.failures == []
    assert answers.routes == [":lasting_1:"]
    assert await world.metric("seldon_scheduler_xds_resources_total") == 0
    assert agent.history == told
    await world.load(model("afterwards"))
    assert (await world.http.get(f"{world.url}/v2/models/afterwards")).status_code == 200


async def test_a_deleted_model_is_gone_and_comes_back(world: World) -> None:
    await world.load(model("passing"))
    await world.unload("passing")
    assert (await world.http.get(f"{world.url}/v2/models/passing")).status_code == 404
    await world.load(model("passing", "b"))
    assert (await world.http.get(f"{world.url}/v2/models/passing")).status_code == 200
