"""`python -m services.dataflow` as a process, and the scheduler that it talks to."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
from mlops.chainer import chainer_pb2_grpc
from mlops.chainer.chainer_pb2 import (
    PipelineSubscriptionRequest,
    PipelineUpdateMessage,
    PipelineUpdateStatusMessage,
    PipelineUpdateStatusResponse,
)

from shared.kafka.config import KafkaConfig
from tests.dataflow.engine.mesh import PATIENCE
from tests.peers.ports import free_port


class Scheduler(chainer_pb2_grpc.ChainerServicer):
    """Sends what it wants to whoever subscribes, again each time."""

    def __init__(self) -> None:
        self.port = free_port()
        self.wanted: list[PipelineUpdateMessage] = []
        self.reports: list[PipelineUpdateStatusMessage] = []
        self.subscribers: list[str] = []
        self._streams: list[asyncio.Queue[PipelineUpdateMessage]] = []
        self._news = asyncio.Event()
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> "Scheduler":
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        chainer_pb2_grpc.add_ChainerServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.stop(0)
        self._streams.clear()

    async def SubscribePipelineUpdates(
        self, request: PipelineSubscriptionRequest, context: Any
    ) -> AsyncIterator[PipelineUpdateMessage]:
        self.subscribers.append(request.name)
        stream: asyncio.Queue[PipelineUpdateMessage] = asyncio.Queue()
        for message in self.wanted:
            stream.put_nowait(message)
        self._streams.append(stream)
        await context.send_initial_metadata(())
        while True:
            yield await stream.get()

    async def PipelineUpdateEvent(
        self, request: PipelineUpdateStatusMessage, context: Any
    ) -> PipelineUpdateStatusResponse:
        self.reports.append(request)
        self._news.set()
        return PipelineUpdateStatusResponse()

    def want(self, message: PipelineUpdateMessage) -> None:
        self.wanted.append(message)
        self.send(message)

    def send(self, message: PipelineUpdateMessage) -> None:
        for stream in self._streams:
            stream.put_nowait(message)

    async def reported(self, count: int) -> PipelineUpdateStatusMessage:
        """The report with this number, once it is there."""
        async with asyncio.timeout(PATIENCE):
            while len(self.reports) < count:
                self._news.clear()
                await self._news.wait()
        return self.reports[count - 1]


async def start_engine(
    config: KafkaConfig, scheduler: Scheduler, folder: Path, **more: str
) -> asyncio.subprocess.Process:
    """An engine in a process of its own; `more` are flags."""
    return await launch_engine(config, scheduler.port, folder, {"health-server-port": str(free_port()), **more}, {})


async def launch_engine(
    config: KafkaConfig, scheduler_port: int, folder: Path, flags: Mapping[str, str], settings: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """The same for a scheduler at any port; `settings` are environment variables."""
    file = folder / "kafka.json"
    content = {"bootstrap.servers": config.bootstrap_servers, "consumer": {"fetch.wait.max.ms": config.fetch_wait_ms}}
    file.write_text(json.dumps(content))
    arguments = {
        "host": "127.0.0.1",
        "upstream-port": str(scheduler_port),
        "kafka-config-path": str(file),
        "namespace": config.topics.namespace,
        **flags,
    }
    environment = {
        **os.environ,
        "KAFKA_DEFAULT_NUM_PARTITIONS": str(config.partitions),
        "SELDON_KAFKA_CONSUMER_PREFIX": config.groups.prefix,
        **settings,
    }
    command = [sys.executable, "-m", "services.dataflow", *(f"--{name}={value}" for name, value in arguments.items())]
    return await asyncio.create_subprocess_exec(*command, env=environment)
