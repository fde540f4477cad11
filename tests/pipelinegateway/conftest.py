"""A broker for all tests here, and for each a gateway in this process with a scheduler and an engine."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2_grpc
from prometheus_client import CollectorRegistry

from services.pipelinegateway.app import PipelineGateway
from services.pipelinegateway.metrics import GatewayMetrics
from services.pipelinegateway.settings import PipelineGatewaySettings
from shared.kafka.config import KafkaConfig, load_config
from shared.tracing.tracer import tracing
from tests.peers.broker import Broker
from tests.peers.ports import free_port
from tests.pipelinegateway.engine import Behaviour, Engine, echo
from tests.pipelinegateway.scheduler import Scheduler, pipeline

MESSAGE_MAX_BYTES = 1_000_000
_names = itertools.count()


@pytest.fixture
def name() -> str:
    """A pipeline of the test's own: the broker is shared."""
    return f"p{next(_names)}"


@dataclass
class Gateway:
    """A running gateway with clients of both its ports."""

    process: PipelineGateway
    settings: PipelineGatewaySettings
    registry: CollectorRegistry
    rest: httpx.AsyncClient
    channel: grpc.aio.Channel
    inference: Any
    stopping: asyncio.Event
    task: "asyncio.Task[None]"

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"server": "pipeline-gateway", **labels}) or 0.0


@contextlib.asynccontextmanager
async def gateway_at(config_path: Path, scheduler: Scheduler, pod: str, **changed: Any) -> AsyncIterator[Gateway]:
    settings = PipelineGatewaySettings(
        host="127.0.0.1",
        http_port=free_port(),
        grpc_port=free_port(),
        metrics_port=free_port(),
        scheduler_port=scheduler.port,
        kafka_config_path=str(config_path),
        pod_name=pod,
        **changed,
    )
    registry = CollectorRegistry()
    stopping = asyncio.Event()
    base = f"http://127.0.0.1:{settings.http_port}"
    async with (
        tracing("seldon-pipelinegateway", settings.tracing(), pod) as tracer,
        httpx.AsyncClient(base_url=base, timeout=30, limits=httpx.Limits(max_connections=None)) as rest,
        grpc.aio.insecure_channel(f"127.0.0.1:{settings.grpc_port}") as channel,
    ):
        process = PipelineGateway(settings, GatewayMetrics(registry), tracer)
        task = asyncio.create_task(process.run(stopping))
        inference: Any = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        gateway = Gateway(process, settings, registry, rest, channel, inference, stopping, task)
        try:
            yield gateway
        finally:
            stopping.set()
            await asyncio.wait((task,))
            assert not task.cancelled(), "nobody cancelled it"
            await task


@dataclass
class World:
    """One pipeline at one gateway, loaded."""

    name: str
    config: KafkaConfig
    config_path: Path
    scheduler: Scheduler
    gateway: Gateway
    engine: Engine

    @property
    def path(self) -> str:
        return f"/v2/pipelines/{self.name}/infer"

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("seldon-model", f"{self.name}.pipeline")]

    def behave(self, behaviour: Behaviour) -> None:
        self.engine.behaviour = behaviour


def write_config(broker: Broker, path: Path) -> Path:
    content = {
        "bootstrap.servers": broker.config.bootstrap_servers,
        "consumer": {"fetch.wait.max.ms": broker.config.fetch_wait_ms, "message.max.bytes": MESSAGE_MAX_BYTES},
        "producer": {"message.max.bytes": MESSAGE_MAX_BYTES},
        "topics": {"numPartitions": 3},
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def config_path(broker: Broker, tmp_path: Path) -> Path:
    return write_config(broker, tmp_path / "kafka.json")


@pytest.fixture
async def world(name: str, config_path: Path) -> AsyncIterator[World]:
    config = load_config(config_path, "", {})
    topics = config.topics
    engine = Engine(config, topics.pipeline_inputs(name), topics.pipeline_outputs(name), echo)
    async with (
        Scheduler().serving() as scheduler,
        engine.running(),
        gateway_at(config_path, scheduler, "one", timeout_ms=10_000) as gateway,
    ):
        await scheduler.subscriptions.get()
        report = await scheduler.load("one", pipeline(name))
        assert report.success, report.reason
        yield World(name, config, config_path, scheduler, gateway, engine)
