"""A broker that goes away and comes back with its records."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.kafka.config import KafkaConfig
from shared.kafka.names import GroupNames, TopicNames
from tests.dataflow.engine.conftest import MakeEngine
from tests.dataflow.engine.instructions import join
from tests.dataflow.engine.mesh import Mesh
from tests.peers.broker import Broker, kind_for_tests, running

pytestmark = pytest.mark.skipif(kind_for_tests() != "apache", reason="Tansu loses its records with its process")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """Of this module's own: others would notice the restart."""
    with running(kind_for_tests()) as started:
        yield started


@pytest.fixture
def config(broker: Broker) -> KafkaConfig:
    return replace(
        broker.config, topics=TopicNames(namespace="restart"), groups=GroupNames(namespace="restart"), partitions=2
    )


async def test_requests_in_flight_are_answered_when_the_broker_is_back(
    broker: Broker, mesh: Mesh, engine: MakeEngine
) -> None:
    await mesh.serve("a", "b")
    pipelines = await engine()
    await pipelines.create(join(mesh.names, "p", "a", "b").create())
    await mesh.watch("p")
    mesh.hold("b")
    ids = await mesh.send("p", 50)
    await mesh.until_asked("b", 50)
    await asyncio.to_thread(broker.restart)
    await mesh.release("b")
    await mesh.answered(ids)
    await mesh.answered(await mesh.send("p", 50, partition=1))
