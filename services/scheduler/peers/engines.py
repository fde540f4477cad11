"""The `Chainer` gRPC service: dataflow engines subscribe here and report results."""

from collections.abc import AsyncIterator
from typing import Any

from mlops.chainer import chainer_pb2 as pb
from mlops.chainer import chainer_pb2_grpc

from services.scheduler.core.members.fleet import Kind, Member
from services.scheduler.core.members.rounds import Answer
from services.scheduler.engine import Engine
from services.scheduler.peers.subscription import operation_of, subscription
from services.scheduler.requests import required
from shared.errors import InvalidInput


class ChainerService(chainer_pb2_grpc.ChainerServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def SubscribePipelineUpdates(
        self, request: pb.PipelineSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.PipelineUpdateMessage]:
        """Lasts as long as the engine lives. A second subscription of the same name takes over from the first."""
        member = Member(required(request.name, "name"), self._engine.new_session())
        async for instruction in subscription(self._engine, Kind.ENGINE, member, context):
            yield instruction

    async def PipelineUpdateEvent(
        self, request: pb.PipelineUpdateStatusMessage, context: Any
    ) -> pb.PipelineUpdateStatusResponse:
        """An engine's answer. What belongs to no instruction of this round is ignored."""
        answer = answer_of(request)
        await self._engine.apply(lambda now: self._engine.core.answered(Kind.ENGINE, answer, now))
        return pb.PipelineUpdateStatusResponse()


def answer_of(request: pb.PipelineUpdateStatusMessage) -> Answer:
    """An engine's or pipeline gateway's report. Raises InvalidInput when it says nothing about what it is."""
    if not request.HasField("update"):
        raise InvalidInput("status event has no update: send back the instruction's own fields in update")
    update = request.update
    return Answer(
        member=update.stream,
        resource=update.pipeline,
        version=update.version,
        timestamp=update.timestamp,
        operation=operation_of(pb.PipelineUpdateMessage.PipelineOperation.Name(update.op)),
        success=request.success,
        reason=request.reason,
        uid=update.uid,
    )
