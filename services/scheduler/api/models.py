"""The calls of the `Scheduler` service about models."""

from collections.abc import AsyncIterator
from typing import Any

from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.scheduler.core.members.fleet import Kind, Member
from services.scheduler.core.members.rounds import Answer
from services.scheduler.core.models.status import model_status
from services.scheduler.engine import Engine
from services.scheduler.peers.subscription import operation_of, subscription
from services.scheduler.requests import required
from shared.errors import InvalidInput, RejectedRequest


class ModelCalls(scheduler_pb2_grpc.SchedulerServicer):
    _engine: Engine

    async def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.LoadModelResponse:
        if not request.HasField("model"):
            raise RejectedRequest("request has no model: set model.meta and model.modelSpec")
        await self._engine.apply(lambda now: self._engine.control.load_model(request.model, now))
        return pb.LoadModelResponse()

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: Any) -> pb.UnloadModelResponse:
        name = required(request.model.name, "model.name")
        await self._engine.apply(lambda now: self._engine.control.unload_model(name, now))
        return pb.UnloadModelResponse()

    async def ModelStatus(self, request: pb.ModelStatusRequest, context: Any) -> AsyncIterator[pb.ModelStatusResponse]:
        models, gateways = self._engine.control.state.models, self._engine.core.model_gateways
        if not request.model.name:
            for model in list(models.values()):
                yield model_status(model, gateways, all_versions=request.allVersions)
            return
        known = models.get(request.model.name)
        if known is None:
            raise RejectedRequest(f"Failed to find model {request.model.name}")
        yield model_status(known, gateways, all_versions=request.allVersions)

    async def SubscribeModelStatus(
        self, request: pb.ModelSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.ModelStatusResponse]:
        if request.isModelGateway:
            member = Member(required(request.subscriberName, "subscriberName"), self._engine.new_session())
            async for instruction in subscription(self._engine, Kind.MODEL_GATEWAY, member, context):
                yield instruction
            return
        await self._engine.ready.wait()
        models, gateways = self._engine.control.state.models, self._engine.core.model_gateways
        feed = self._engine.model_feed
        async for message in feed.subscribe(lambda: [model_status(model, gateways) for model in models.values()]):
            yield message

    async def ModelStatusEvent(
        self, request: pb.ModelUpdateStatusMessage, context: Any
    ) -> pb.ModelUpdateStatusResponse:
        """A model gateway's answer. What belongs to no instruction of this round is ignored."""
        if not request.HasField("update"):
            raise InvalidInput("status event has no update: send back the instruction's own fields in update")
        update = request.update
        answer = Answer(
            member=update.stream,
            resource=update.model,
            version=update.version,
            timestamp=update.timestamp,
            operation=operation_of(pb.ModelUpdateMessage.ModelOperation.Name(update.op)),
            success=request.success,
            reason=request.reason,
        )
        core = self._engine.core
        await self._engine.apply(lambda now: core.answered(Kind.MODEL_GATEWAY, answer, now))
        return pb.ModelUpdateStatusResponse()
