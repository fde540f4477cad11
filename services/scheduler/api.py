"""The `Scheduler` gRPC service: desired state in, status out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from mlops.chainer import chainer_pb2
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.scheduler.engine import Engine
from services.scheduler.state import MAX_REPLICAS, Server
from services.scheduler.status import model_status, server_status
from shared.errors import InvalidInput, NotImplementedYet, RejectedRequest
from shared.names import validate_name
from shared.probes import VERSION

_PIPELINES = "pipelines are not served by this scheduler yet; models are"
_EXPERIMENTS = "experiments are not served by this scheduler yet; models are"
_GATEWAYS = "model gateways are not served by this scheduler yet"


class SchedulerService(scheduler_pb2_grpc.SchedulerServicer):
    """Errors leave as SeldonError and become a status in the server's interceptor."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -- models --------------------------------------------------------------------------------------------------

    async def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.LoadModelResponse:
        if not request.HasField("model"):
            raise RejectedRequest("request has no model: set model.meta and model.modelSpec")
        await self._engine.apply(lambda now: self._engine.control.load_model(request.model, now))
        return pb.LoadModelResponse()

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: Any) -> pb.UnloadModelResponse:
        name = _required(request.model.name, "model.name")
        await self._engine.apply(lambda now: self._engine.control.unload_model(name, now))
        return pb.UnloadModelResponse()

    async def ModelStatus(self, request: pb.ModelStatusRequest, context: Any) -> AsyncIterator[pb.ModelStatusResponse]:
        models = self._engine.control.state.models
        if not request.model.name:
            for model in list(models.values()):
                yield model_status(model, all_versions=request.allVersions)
            return
        known = models.get(request.model.name)
        if known is None:
            raise RejectedRequest(f"Failed to find model {request.model.name}")
        yield model_status(known, all_versions=request.allVersions)

    async def SubscribeModelStatus(
        self, request: pb.ModelSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.ModelStatusResponse]:
        if request.isModelGateway:
            raise NotImplementedYet(_GATEWAYS)
        await self._engine.ready.wait()
        models = self._engine.control.state.models
        async for message in self._engine.model_feed.subscribe(lambda: [model_status(m) for m in models.values()]):
            yield message

    # -- servers -------------------------------------------------------------------------------------------------

    async def ServerNotify(self, request: pb.ServerNotifyRequest, context: Any) -> pb.ServerNotifyResponse:
        for position, wanted in enumerate(request.servers):
            _required(wanted.name, f"servers[{position}].name")
            validate_name("server", wanted.name)
            if wanted.expectedReplicas > MAX_REPLICAS:
                field = f"servers[{position}].expectedReplicas"
                raise InvalidInput.of_field(field, wanted.expectedReplicas, f"at most {MAX_REPLICAS}")
        for wanted in request.servers:
            server = Server(
                name=wanted.name,
                shared=wanted.shared,
                expected=wanted.expectedReplicas,
                minimum=wanted.minReplicas,
                maximum=wanted.maxReplicas,
                kubernetes_meta=wanted.kubernetesMeta if wanted.HasField("kubernetesMeta") else None,
            )
            await self._engine.apply(lambda now, server=server: self._engine.control.notify_server(server, now))  # type: ignore[misc]
        return pb.ServerNotifyResponse()

    async def ServerStatus(
        self, request: pb.ServerStatusRequest, context: Any
    ) -> AsyncIterator[pb.ServerStatusResponse]:
        state = self._engine.control.state
        if not request.name:
            for server in list(state.servers.values()):
                yield server_status(server, state)
            return
        known = state.servers.get(request.name)
        if known is None:
            raise RejectedRequest(f"Server [{request.name}] not found")
        yield server_status(known, state)

    async def SubscribeServerStatus(
        self, request: pb.ServerSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.ServerStatusResponse]:
        state = self._engine.control.state
        current = [server_status(server, state) for server in state.servers.values()]
        async for message in self._engine.server_feed.subscribe(lambda: current):
            yield message

    # -- scheduler -----------------------------------------------------------------------------------------------

    async def SchedulerStatus(self, request: pb.SchedulerStatusRequest, context: Any) -> pb.SchedulerStatusResponse:
        return pb.SchedulerStatusResponse(applicationVersion=VERSION)

    async def SubscribeControlPlane(
        self, request: pb.ControlPlaneSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.ControlPlaneResponse]:
        """Asks for servers at once and for the rest when ready; then stays open, so that its end tells of ours."""
        yield pb.ControlPlaneResponse(event=pb.ControlPlaneResponse.SEND_SERVERS)
        await self._engine.ready.wait()
        for event in (
            pb.ControlPlaneResponse.SEND_EXPERIMENTS,
            pb.ControlPlaneResponse.SEND_MODELS,
            pb.ControlPlaneResponse.SEND_PIPELINES,
        ):
            yield pb.ControlPlaneResponse(event=event)
        await asyncio.Event().wait()

    # -- not served yet ------------------------------------------------------------------------------------------
    # The `yield` after a `raise` makes a method the stream that its caller expects.

    async def LoadPipeline(self, request: pb.LoadPipelineRequest, context: Any) -> pb.LoadPipelineResponse:
        raise NotImplementedYet(_PIPELINES)

    async def UnloadPipeline(self, request: pb.UnloadPipelineRequest, context: Any) -> pb.UnloadPipelineResponse:
        raise NotImplementedYet(_PIPELINES)

    async def PipelineStatus(
        self, request: pb.PipelineStatusRequest, context: Any
    ) -> AsyncIterator[pb.PipelineStatusResponse]:
        raise NotImplementedYet(_PIPELINES)
        yield

    async def SubscribePipelineStatus(
        self, request: pb.PipelineSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.PipelineStatusResponse]:
        raise NotImplementedYet(_PIPELINES)
        yield

    async def PipelineStatusEvent(
        self, request: chainer_pb2.PipelineUpdateStatusMessage, context: Any
    ) -> chainer_pb2.PipelineUpdateStatusResponse:
        raise NotImplementedYet(_PIPELINES)

    async def ModelStatusEvent(
        self, request: pb.ModelUpdateStatusMessage, context: Any
    ) -> pb.ModelUpdateStatusResponse:
        raise NotImplementedYet(_GATEWAYS)

    async def StartExperiment(self, request: pb.StartExperimentRequest, context: Any) -> pb.StartExperimentResponse:
        raise NotImplementedYet(_EXPERIMENTS)

    async def StopExperiment(self, request: pb.StopExperimentRequest, context: Any) -> pb.StopExperimentResponse:
        raise NotImplementedYet(_EXPERIMENTS)

    async def ExperimentStatus(
        self, request: pb.ExperimentStatusRequest, context: Any
    ) -> AsyncIterator[pb.ExperimentStatusResponse]:
        raise NotImplementedYet(_EXPERIMENTS)
        yield

    async def SubscribeExperimentStatus(
        self, request: pb.ExperimentSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.ExperimentStatusResponse]:
        raise NotImplementedYet(_EXPERIMENTS)
        yield


def _required(value: str, field: str) -> str:
    if not value:
        raise RejectedRequest(f"request has no {field}: name the resource")
    return value
