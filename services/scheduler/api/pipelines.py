"""The calls of the `Scheduler` service about pipelines."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from mlops.chainer import chainer_pb2
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.scheduler.core.members.fleet import Kind, Member
from services.scheduler.engine import Engine
from services.scheduler.peers.addresses import resolve
from services.scheduler.peers.engines import answer_of
from services.scheduler.peers.subscription import subscription
from services.scheduler.requests import required
from shared import gateway_metadata
from shared.errors import InvalidInput, RejectedRequest


class PipelineCalls(scheduler_pb2_grpc.SchedulerServicer):
    _engine: Engine
    _gateway_ports: tuple[int, int]

    async def LoadPipeline(self, request: pb.LoadPipelineRequest, context: Any) -> pb.LoadPipelineResponse:
        if not request.HasField("pipeline"):
            raise RejectedRequest("request has no pipeline: set pipeline.name and pipeline.steps")
        control, uid = self._engine.core.pipelines, self._engine.new_uid()
        await self._engine.apply(lambda now: control.load(request.pipeline, uid, now))
        return pb.LoadPipelineResponse()

    async def UnloadPipeline(self, request: pb.UnloadPipelineRequest, context: Any) -> pb.UnloadPipelineResponse:
        name = required(request.name, "name")
        await self._engine.apply(lambda now: self._engine.core.pipelines.unload(name, now))
        return pb.UnloadPipelineResponse()

    async def PipelineStatus(
        self, request: pb.PipelineStatusRequest, context: Any
    ) -> AsyncIterator[pb.PipelineStatusResponse]:
        if not request.name:
            for status in self._engine.pipelines.all(all_versions=request.allVersions):
                yield status
            return
        known = self._engine.pipelines.status(request.name, all_versions=request.allVersions)
        if known is None:
            raise RejectedRequest(f"pipeline {request.name} not found")
        yield known

    async def SubscribePipelineStatus(
        self, request: pb.PipelineSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.PipelineStatusResponse]:
        """Changes to plain subscribers, the current state first; instructions to pipeline gateways."""
        if request.isPipelineGateway:
            member = await self._gateway(request, dict(context.invocation_metadata()))
            announced = [(request.subscriberIp, member.address)] if member.address else []
            async for instruction in subscription(self._engine, Kind.PIPELINE_GATEWAY, member, context, announced):
                yield instruction
            return
        await self._engine.ready.wait()
        async for message in self._engine.pipelines.feed.subscribe(self._engine.pipelines.all):
            yield message

    async def _gateway(self, request: pb.PipelineSubscriptionRequest, metadata: Mapping[str, str | bytes]) -> Member:
        name = required(request.subscriberName, "subscriberName")
        host = required(request.subscriberIp, "subscriberIp")
        http_port = _port(metadata, gateway_metadata.HTTP_PORT, self._gateway_ports[0])
        grpc_port = _port(metadata, gateway_metadata.GRPC_PORT, self._gateway_ports[1])
        return Member(name, self._engine.new_session(), await resolve(host, http_port, grpc_port))

    async def PipelineStatusEvent(
        self, request: chainer_pb2.PipelineUpdateStatusMessage, context: Any
    ) -> chainer_pb2.PipelineUpdateStatusResponse:
        """A pipeline gateway's answer. What belongs to no instruction of this round is ignored."""
        answer = answer_of(request)
        core = self._engine.core
        await self._engine.apply(lambda now: core.answered(Kind.PIPELINE_GATEWAY, answer, now))
        return chainer_pb2.PipelineUpdateStatusResponse()


def _port(metadata: Mapping[str, str | bytes], key: str, otherwise: int) -> int:
    value = metadata.get(key)
    if value is None:
        return otherwise
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        raise InvalidInput.of_field(key, value, "a port number")
    return int(value)
