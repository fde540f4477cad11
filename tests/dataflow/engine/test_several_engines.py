"""Several engines on the same pipelines, models and partitions: they come, go and are killed, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from shared.kafka.config import KafkaConfig
from shared.kafka.topics import TopicAdmin
from tests.dataflow.engine.conftest import MakeEngine
from tests.dataflow.engine.fleet import Fleet, fleet
from tests.dataflow.engine.instructions import chain
from tests.dataflow.engine.mesh import PATIENCE, Mesh, tensors
from tests.peers.broker import kind_for_tests

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


async def test_the_number_of_partitions_of_new_topics_changes(config: KafkaConfig, mesh: Mesh, engines: Fleet) -> None:
    """Topics from before keep theirs, so pipelines read and write topics with different numbers."""
    names = mesh.names
    before = TopicAdmin(replace(config, partitions=1))
    await before.start()
    await before.ensure([names.model_inputs("a"), names.model_outputs("a"), names.pipeline_inputs("old")])
    await before.stop()
    await mesh.serve("a", "b", "c")
    for name in ("one", "two"):
        await engines.start(name, KAFKA_DEFAULT_NUM_PARTITIONS="1")
    # Among others, the topic of all errors has one partition from now on.
    await engines.load("old", "a")
    for name in ("one", "two"):
        await engines.stop(name)
        await engines.start(name)
    pipelines = {"old": ("a",), "mixed": ("a", "b"), "new": ("b", "c")}
    for name in ("mixed", "new"):
        await engines.load(name, *pipelines[name])
    await engines.settled(list(pipelines))
    await mesh.watch(*pipelines)
    ids = {name: await _one_each(mesh, name) for name in pipelines}
    await engines.kill("one")
    await engines.start("one")
    await engines.settled(list(pipelines))
    for name, models in pipelines.items():
        sent = ids[name] + await _one_each(mesh, name)
        for request_id, answer in (await mesh.answered(sent)).items():
            assert tensors(answer) == {"-".join(("INPUT", *models)): int(request_id)}
    engines.check()


@pytest.mark.skipif(kind_for_tests() == "tansu", reason="Tansu does not add partitions")
async def test_topics_get_more_partitions(config: KafkaConfig, mesh: Mesh, engines: Fleet) -> None:
    """Engines that start afterwards share them; what was on its way before is finished."""
    names = mesh.names
    few = TopicAdmin(replace(config, partitions=2))
    await few.start()
    topics = [names.errors, names.pipeline_inputs("p"), names.pipeline_outputs("p")]
    topics += [name for model in ("a", "b") for name in (names.model_inputs(model), names.model_outputs(model))]
    await few.ensure(topics)
    await mesh.serve("a", "b")
    await mesh.watch("p")
    for name in ("one", "two"):
        await engines.start(name)
    await engines.load("p", "a", "b")
    mesh.hold("b")
    ids = [request_id for partition in (0, 1) for request_id in await mesh.send("p", 20, partition)]
    await mesh.until_asked("b", 40)
    for name in ("one", "two"):
        await engines.stop(name)
    admin = AIOKafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    await admin.start()
    await admin.create_partitions({topic: NewPartitions(PARTITIONS) for topic in topics})
    await admin.close()
    async with asyncio.timeout(PATIENCE):
        while set((await few.partitions(topics)).values()) != {PARTITIONS}:
            pass
    await few.stop()
    await mesh.read_more()
    for name in ("one", "two"):
        await engines.start(name)
    await engines.settled(["p"])
    await mesh.release("b")
    ids += await _one_each(mesh, "p")
    for request_id, answer in (await mesh.answered(ids)).items():
        assert tensors(answer) == {"INPUT-a-b": int(request_id)}
    engines.check()


async def _one_each(mesh: Mesh, pipeline: str) -> list[str]:
    """A request for each partition; which of them a topic lacks, its last one stands for."""
    count = (await mesh.topics.partitions([mesh.names.pipeline_inputs(pipeline)]))[mesh.names.pipeline_inputs(pipeline)]
    return [request_id for number in range(count) for request_id in await mesh.send(pipeline, 1, number)]
