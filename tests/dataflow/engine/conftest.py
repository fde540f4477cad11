"""A real broker, and engines and models on it."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from services.dataflow.core.valve import Valve
from services.dataflow.kafka.pipelines import Pipelines
from shared.kafka.clients import KafkaClients
from shared.kafka.config import KafkaConfig
from shared.kafka.names import GroupNames, TopicNames
from shared.tracing.tracer import OFF, Tracer
from tests.dataflow.engine.mesh import Mesh
from tests.peers.broker import Broker

_namespaces = itertools.count()

MakeEngine: TypeAlias = Callable[..., Awaitable[Pipelines]]


@pytest.fixture
def config(broker: Broker) -> KafkaConfig:
    """Topics of the test's own."""
    namespace = f"test{next(_namespaces)}"
    return replace(
        broker.config, topics=TopicNames(namespace=namespace), groups=GroupNames(namespace=namespace), partitions=2
    )


@pytest.fixture
async def mesh(config: KafkaConfig) -> AsyncIterator[Mesh]:
    async with Mesh(config) as made:
        yield made


@pytest.fixture
async def engine(config: KafkaConfig) -> AsyncIterator[MakeEngine]:
    """Makes engines by name, which stop with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(
            name: str = "engine", tracer: Tracer = OFF, valve: Valve | None = None, **changes: object
        ) -> Pipelines:
            clients = KafkaClients(replace(config, **changes))  # type: ignore[arg-type]
            await clients.start(lambda _: None)
            stack.push_async_callback(clients.stop)
            pipelines = Pipelines(name, clients, 60_000, lambda _: None, tracer, valve)
            working = asyncio.create_task(pipelines.run())

            async def end() -> None:
                await pipelines.close()
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

            stack.push_async_callback(end)
            return pipelines

        yield make
