"""A dataflow engine and gateways over real gRPC that do at once what they are told: for tests of what they are told."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from mlops.chainer import chainer_pb2, chainer_pb2_grpc
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from shared import gateway_metadata

CREATE, DELETE = chainer_pb2.PipelineUpdateMessage.Create, chainer_pb2.PipelineUpdateMessage.Delete
Verdict = Callable[[Any], str]
"""Empty for an instruction that succeeds, else the reason why it does not."""


@dataclass
class EnginePeer:
    """Subscribes to the chainer service."""

    target: str
    name: str = "flow-0"
    verdict: Verdict = lambda _: ""
    told: list[chainer_pb2.PipelineUpdateMessage] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_told(self, operation: int, version: int) -> None:
        """Wait for an instruction. Raises TimeoutError after 20 s."""
        async with asyncio.timeout(20):
            while not any((told.op, told.version) == (operation, version) for told in self.told):
                self.heard.clear()
                await self.heard.wait()

    async def run(self, joined: asyncio.Event) -> None:
        """One subscription until it ends."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            stub = chainer_pb2_grpc.ChainerStub(channel)
            call = stub.SubscribePipelineUpdates(
                chainer_pb2.PipelineSubscriptionRequest(name=self.name), wait_for_ready=True
            )
            await call.initial_metadata()
            joined.set()
            async for message in call:
                self.told.append(message)
                self.heard.set()
                reason = self.verdict(message)
                await stub.PipelineUpdateEvent(
                    chainer_pb2.PipelineUpdateStatusMessage(update=message, success=not reason, reason=reason)
                )


@dataclass
class PipelineGatewayPeer:
    """Subscribes as a pipeline gateway that listens on the given ports."""

    target: str
    http_port: int
    grpc_port: int
    name: str = "pgw-0"
    verdict: Verdict = lambda _: ""
    told: list[pb.PipelineStatusResponse] = field(default_factory=list)

    async def run(self, joined: asyncio.Event) -> None:
        """One subscription until it ends."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            stub = scheduler_pb2_grpc.SchedulerStub(channel)
            call = stub.SubscribePipelineStatus(
                pb.PipelineSubscriptionRequest(
                    subscriberName=self.name, subscriberIp="127.0.0.1", isPipelineGateway=True
                ),
                metadata=(
                    (gateway_metadata.HTTP_PORT, str(self.http_port)),
                    (gateway_metadata.GRPC_PORT, str(self.grpc_port)),
                ),
                wait_for_ready=True,
            )
            await call.initial_metadata()
            joined.set()
            async for message in call:
                self.told.append(message)
                reason = self.verdict(message)
                (version,) = message.versions
                creates = message.operation == pb.PipelineStatusResponse.PipelineCreate
                update = chainer_pb2.PipelineUpdateMessage(
                    op=chainer_pb2.PipelineUpdateMessage.Create
                    if creates
                    else chainer_pb2.PipelineUpdateMessage.Delete,
                    pipeline=message.pipelineName,
                    version=version.pipeline.version,
                    uid=version.pipeline.uid,
                    timestamp=message.timestamp,
                    stream=self.name,
                )
                await stub.PipelineStatusEvent(
                    chainer_pb2.PipelineUpdateStatusMessage(update=update, success=not reason, reason=reason)
                )


@dataclass
class ModelGatewayPeer:
    """Subscribes as a model gateway."""

    target: str
    name: str = "mgw-0"
    verdict: Verdict = lambda _: ""
    told: list[pb.ModelStatusResponse] = field(default_factory=list)

    async def run(self, joined: asyncio.Event) -> None:
        """One subscription until it ends."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            stub = scheduler_pb2_grpc.SchedulerStub(channel)
            call = stub.SubscribeModelStatus(
                pb.ModelSubscriptionRequest(subscriberName=self.name, isModelGateway=True), wait_for_ready=True
            )
            await call.initial_metadata()
            joined.set()
            async for message in call:
                self.told.append(message)
                reason = self.verdict(message)
                creates = message.operation == pb.ModelStatusResponse.ModelCreate
                update = pb.ModelUpdateMessage(
                    op=pb.ModelUpdateMessage.Create if creates else pb.ModelUpdateMessage.Delete,
                    model=message.modelName,
                    version=message.versions[0].version,
                    timestamp=message.timestamp,
                    stream=self.name,
                )
                await stub.ModelStatusEvent(
                    pb.ModelUpdateStatusMessage(update=update, success=not reason, reason=reason)
                )
