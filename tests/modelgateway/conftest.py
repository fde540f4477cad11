"""A broker for all tests here, and for each a gateway in this process with a scheduler and a model server."""

import asyncio
import contextlib
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from services.modelgateway.app import serve
from services.modelgateway.metrics import GatewayMetrics
from services.modelgateway.settings import ModelGatewaySettings
from shared.kafka.clients import KafkaClients
from shared.kafka.config import load_config
from shared.kafka.names import record_key
from shared.kafka.reader import Record
from tests.modelgateway.model_server import ModelServer
from tests.modelgateway.scheduler import SECONDS, Scheduler
from tests.peers.broker import Broker
from tests.peers.ports import free_port

MESSAGE_MAX_BYTES = 1_000_000
PARTITIONS = 3
_numbers = itertools.count()


@pytest.fixture
def model() -> str:
    """A model of the test's own: the broker is shared."""
    return f"m{next(_numbers)}"


def write_config(broker: Broker, folder: Path) -> Path:
    path = folder / "kafka.json"
    content = {
        "bootstrap.servers": broker.config.bootstrap_servers,
        "consumer": {"fetch.wait.max.ms": broker.config.fetch_wait_ms, "message.max.bytes": MESSAGE_MAX_BYTES},
        "producer": {"message.max.bytes": MESSAGE_MAX_BYTES},
        "topics": {"numPartitions": PARTITIONS},
    }
    path.write_text(json.dumps(content))
    return path


@dataclass
class World:
    """Both ends of the topics, the scheduler and the model server. The gateways are the tests' own."""

    clients: KafkaClients
    config_path: Path
    scheduler: Scheduler
    server: ModelServer
    answers: defaultdict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    """Outputs and errors by the last part of their key; those without key under ""."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def settings(self, pod: str, **changed: object) -> ModelGatewaySettings:
        fixed = {
            "host": "127.0.0.1",
            "health_port": free_port(),
            "pod_name": pod,
            "scheduler_port": self.scheduler.port,
            "envoy_port": self.server.port,
            "kafka_config_path": str(self.config_path),
        }
        return ModelGatewaySettings.model_validate(fixed | changed)

    async def watch(self, model: str) -> None:
        """Collect what is answered for this model."""
        names = self.clients.config.topics
        topics = (names.model_inputs(model), names.model_outputs(model), names.errors)
        counts = await self.clients.topics.ensure(topics)
        partitions = [TopicPartition(topic, number) for topic in topics[1:] for number in range(counts[topic])]
        new = [partition for partition in partitions if partition not in self.clients.reader.partitions]
        self.clients.reader.add(await self.clients.reader.end_offsets(new))

    async def send(
        self,
        model: str,
        request_id: str | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int = 0,
    ) -> None:
        topic = self.clients.config.topics.model_inputs(model)
        key = None if request_id is None else record_key(partition, model, request_id)
        await (await self.clients.writer.send(topic, value, key, partition, headers))

    async def collect(self) -> None:
        while True:
            for records in (await self.clients.reader.poll()).values():
                for record in records:
                    self.answers[(record.key or b"").decode().rpartition(".")[2]].append(record)
            self._news.set()

    async def answered(self, request_id: str, times: int = 1) -> list[Record]:
        """Wait until there are this many answers."""
        async with asyncio.timeout(SECONDS):
            while len(self.answers[request_id]) < times:
                self._news.clear()
                await self._news.wait()
        return self.answers[request_id]

    def is_error(self, record: Record) -> bool:
        return bool(record.topic == self.clients.config.topics.errors)


@pytest.fixture
async def world(broker: Broker, tmp_path: Path) -> AsyncIterator[World]:
    async with world_at(broker, tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def world_at(broker: Broker, folder: Path) -> AsyncIterator[World]:
    path = write_config(broker, folder)
    clients = KafkaClients(load_config(path, "", {}))
    await clients.start(lambda _: None)
    scheduling = Scheduler()  # type: ignore[abstract]
    async with scheduling.serving() as scheduler, ModelServer().serving() as server:
        made = World(clients, path, scheduler, server)
        collecting = asyncio.create_task(made.collect())
        try:
            yield made
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            await clients.stop()


@dataclass
class Gateway:
    pod: str
    registry: CollectorRegistry
    task: "asyncio.Task[None]"

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"seldon_modelgateway_{name}", labels) or 0.0

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))


@contextlib.asynccontextmanager
async def gateway_in(world: World, pod: str = "one", **changed: object) -> AsyncIterator[Gateway]:
    registry = CollectorRegistry()
    task = asyncio.create_task(serve(world.settings(pod, **changed), GatewayMetrics(registry)))
    gateway = Gateway(pod, registry, task)
    try:
        await world.scheduler.subscribed(pod)
        yield gateway
    finally:
        await gateway.stop()
        if not task.cancelled() and task.exception() is not None:
            await task


@pytest.fixture
async def gateway(world: World, model: str) -> AsyncIterator[Gateway]:
    """A gateway that serves `model`."""
    await world.watch(model)
    async with gateway_in(world) as made:
        assert (await world.scheduler.create("one", model)).success
        yield made
