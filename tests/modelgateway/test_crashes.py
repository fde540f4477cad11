"""A gateway, or its broker, that dies in the middle: nothing is lost, and the order of each key stays."""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse
from prometheus_client import CollectorRegistry

from services.modelgateway.app import serve
from services.modelgateway.metrics import GatewayMetrics
from services.modelgateway.settings import ModelGatewaySettings
from shared.errors import Unavailable
from tests.modelgateway.conftest import World, gateway_in, world_at
from tests.modelgateway.model_server import Call, echo
from tests.peers.broker import Broker, broker, kind_for_tests
from tests.peers.mesh import ROOT

KEYS, PER_KEY = 20, 15


def request(name: str) -> bytes:
    return ModelInferRequest(id=name).SerializeToString()


@contextlib.asynccontextmanager
async def gateway_process(settings: ModelGatewaySettings) -> AsyncIterator[asyncio.subprocess.Process]:
    """As a deployment starts it."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'protos/gen'}",
        "POD_NAME": settings.pod_name,
        "MODELGATEWAY_HOST": settings.host,
        "MODELGATEWAY_HEALTH_PORT": str(settings.health_port),
        "SELDON_SCHEDULER_PORT": str(settings.scheduler_port),
        "SELDON_ENVOY_PORT": str(settings.envoy_port),
        "KAFKA_CONFIG_PATH": settings.kafka_config_path,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.modelgateway", env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def ids_of(world: World, key: str) -> list[str]:
    return [ModelInferResponse.FromString(record.value or b"").id for record in world.answers[key]]


async def test_nothing_is_lost_when_the_gateway_is_killed(world: World, model: str) -> None:
    async def takes_a_moment(call: Call) -> ModelInferResponse:
        await asyncio.sleep(0.01)
        return await echo(call)

    world.server.behaviours[model] = takes_a_moment
    await world.watch(model)
    settings = world.settings("one")
    for number, key in itertools.product(range(PER_KEY), range(KEYS)):
        await world.send(model, f"k{key}", request(f"{key}-{number}"), partition=key % 3)
    for kill_after in (KEYS, KEYS * PER_KEY // 2):
        async with gateway_process(settings) as process:
            await world.scheduler.subscribed("one")
            await world.scheduler.create("one", model)
            await world.server.called(model, kill_after)
            process.send_signal(signal.SIGKILL)
            await process.wait()
    async with gateway_process(settings) as process:
        await world.scheduler.subscribed("one")
        await world.scheduler.create("one", model)
        for key in range(KEYS):
            while len(set(ids_of(world, f"k{key}"))) < PER_KEY:
                await world.answered(f"k{key}", len(world.answers[f"k{key}"]) + 1)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.health_port}") as client:
            assert (await client.get("/ready")).json()["ready"] is True
            assert (
                f'seldon_modelgateway_calls_total{{code="OK",model="{model}"}}' in (await client.get("/metrics")).text
            )
        process.terminate()
        assert await process.wait() == 0
    for key in range(KEYS):
        found = ids_of(world, f"k{key}")
        assert list(dict.fromkeys(found)) == [f"{key}-{number}" for number in range(PER_KEY)]


async def test_a_gateway_that_is_stopped_repeats_nothing(world: World, model: str) -> None:
    await world.watch(model)
    count = 0
    for _ in range(2):
        async with gateway_in(world):
            await world.scheduler.create("one", model)
            for _ in range(20):
                await world.send(model, f"a{count}", request(str(count)))
                count += 1
            await world.answered(f"a{count - 1}")
    async with gateway_in(world):
        await world.scheduler.create("one", model)
        for number in range(count):
            await world.answered(f"a{number}")
    assert len(world.server.calls[model]) == count


@pytest.fixture
async def own_broker() -> AsyncIterator[Broker]:
    async with broker(kind_for_tests()) as started:
        yield started


async def test_a_broker_that_pauses_delays_answers_only(own_broker: Broker, tmp_path: Path, model: str) -> None:
    async with world_at(own_broker, tmp_path) as world, gateway_in(world):
        await world.watch(model)
        await world.scheduler.create("one", model)
        process = own_broker._process
        assert process is not None

        async def pause_broker(call: Call) -> ModelInferResponse:
            if call.request.id == "5":
                process.send_signal(signal.SIGSTOP)
            return await echo(call)

        world.server.behaviours[model] = pause_broker
        for number in range(20):
            await world.send(model, f"a{number}", request(str(number)))
            if number == 5:
                await world.server.called(model, 6)
                process.send_signal(signal.SIGCONT)
        for number in range(20):
            await world.answered(f"a{number}")


@pytest.mark.skipif(kind_for_tests() != "tansu", reason="this broker keeps its records")
async def test_a_broker_that_forgets_everything_ends_the_gateway(
    own_broker: Broker, tmp_path: Path, model: str
) -> None:
    async with world_at(own_broker, tmp_path) as world:
        gateway = asyncio.create_task(serve(world.settings("one"), GatewayMetrics(CollectorRegistry())))
        await world.scheduler.subscribed("one")
        await world.watch(model)
        await world.scheduler.create("one", model)
        await world.send(model, "a", request("a"))
        await world.answered("a")
        await asyncio.to_thread(own_broker.restart)
        with pytest.raises(Unavailable, match="is gone"):
            await asyncio.wait_for(gateway, 60)
    async with world_at(own_broker, tmp_path) as world, gateway_in(world):
        await world.watch(model)
        await world.scheduler.create("one", model)
        await world.send(model, "b", request("b"))
        await world.answered("b")
