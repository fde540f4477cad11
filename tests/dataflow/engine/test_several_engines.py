"""Several engines on the same pipelines, models and partitions: they come, go and are killed, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared.kafka.config import KafkaConfig
from tests.dataflow.engine.conftest import MakeEngine
from tests.dataflow.engine.fleet import Fleet, fleet
from tests.dataflow.engine.instructions import chain
from tests.dataflow.engine.mesh import Mesh, tensors

PARTITIONS = 4
PIPELINES = [f"p{number}" for number in range(6)]


@pytest.fixture
def config(config: KafkaConfig) -> KafkaConfig:
    return replace(config, partitions=PARTITIONS)


@pytest.fixture
async def engines(config: KafkaConfig, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(config, tmp_path) as made:
        yield made


async def test_pipelines_that_share_models_are_shared_in_different_ways(mesh: Mesh, engine: MakeEngine) -> None:
    """An engine reads all partitions of the models' topics, and of each pipeline only some are its own."""
    await mesh.serve("a", "b")
    await mesh.watch("p", "q")
    p, q = chain(mesh.names, "p", "a", "b"), chain(mesh.names, "q", "a", "b")
    for name in ("one", "other"):
        made = await engine(name)
        await made.create(p.create(["one", "other"]))
        await made.create(q.create(["other", "one"]))
    ids = [
        request_id
        for partition in range(PARTITIONS)
        for name in ("p", "q")
        for request_id in await mesh.send(name, 5, partition)
    ]
    for request_id, answer in (await mesh.answered(ids)).items():
        assert tensors(answer) == {"INPUT-a-b": int(request_id)}
    assert (len(mesh.asked["a"]), len(mesh.asked["b"])) == (len(ids), len(ids))


async def test_engines_are_added_removed_and_killed_under_load(mesh: Mesh, engines: Fleet) -> None:
    await mesh.serve("a", "b")
    await mesh.watch(*PIPELINES)
    for name in ("one", "two"):
        await engines.start(name)
    for pipeline in PIPELINES:
        await engines.load(pipeline, "a", "b")
    ids: list[str] = []
    is_over = asyncio.Event()

    async def load() -> None:
        while not is_over.is_set():
            for pipeline in PIPELINES:
                for partition in range(PARTITIONS):
                    ids.extend(await mesh.send(pipeline, 2, partition))
            # No more than what is being answered, or the load would grow with the time that the machine takes.
            await mesh.answered(ids[-len(PIPELINES) :])

    sending = asyncio.create_task(load())
    await mesh.until_asked("b", 100)
    await engines.start("three")
    await engines.settled(PIPELINES)
    await engines.kill("one")
    await engines.settled(PIPELINES)
    await mesh.until_asked("b", len(mesh.asked["b"]) + 100)
    await engines.start("one")
    await engines.settled(PIPELINES)
    await engines.stop("two")
    await engines.settled(PIPELINES)
    await mesh.until_asked("b", len(mesh.asked["b"]) + 100)
    is_over.set()
    await sending
    for request_id, answer in (await mesh.answered(ids)).items():
        assert tensors(answer) == {"INPUT-a-b": int(request_id)}
    engines.check()
