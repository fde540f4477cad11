"""A scheduler as a pipeline gateway sees it: it gives instructions and hears reports."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc.aio
from mlops.chainer import chainer_pb2 as chainer
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

if TYPE_CHECKING:
    _Operation: TypeAlias = pb.PipelineStatusResponse.PipelineOperation.ValueType
    _Servicer = object
else:
    # The checker would want every method of the service here.
    _Servicer = scheduler_pb2_grpc.SchedulerServicer

CREATE = pb.PipelineStatusResponse.PipelineCreate
DELETE = pb.PipelineStatusResponse.PipelineDelete


class Scheduler(_Servicer):
    """One subscriber at a time per name."""

    def __init__(self) -> None:
        self.subscriptions: asyncio.Queue[tuple[pb.PipelineSubscriptionRequest, dict[str, str]]] = asyncio.Queue()
        self.reports: asyncio.Queue[chainer.PipelineUpdateStatusMessage] = asyncio.Queue()
        self.model_feeds: list[asyncio.Queue[pb.ModelStatusResponse]] = []
        self._models: dict[str, pb.ModelStatusResponse] = {}
        self._feeds: dict[str, asyncio.Queue[pb.PipelineStatusResponse]] = {}
        self.port = 0
        self._clock = 0

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["Scheduler"]:
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        scheduler_pb2_grpc.add_SchedulerServicer_to_server(self, server)  # type: ignore[arg-type]
        self.port = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    async def SubscribePipelineStatus(
        self, request: pb.PipelineSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.PipelineStatusResponse]:
        feed = self._feeds[request.subscriberName] = asyncio.Queue()
        await context.send_initial_metadata(())
        self.subscriptions.put_nowait((request, dict(context.invocation_metadata())))
        while True:
            yield await feed.get()

    async def SubscribeModelStatus(
        self, request: pb.ModelSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.ModelStatusResponse]:
        assert not request.isModelGateway
        feed: asyncio.Queue[pb.ModelStatusResponse] = asyncio.Queue()
        for message in self._models.values():
            feed.put_nowait(message)
        self.model_feeds.append(feed)
        await context.send_initial_metadata(())
        while True:
            yield await feed.get()

    def tell_model(self, name: str, state: str, reason: str = "") -> None:
        """`state` is the name of a ModelState; those who subscribe later are told as well."""
        message = pb.ModelStatusResponse(modelName=name, versions=[pb.ModelVersionStatus(version=1)])
        message.versions[0].state.state = pb.ModelStatus.ModelState.Value(state)
        message.versions[0].state.reason = reason
        self._models[name] = message
        for feed in self.model_feeds:
            feed.put_nowait(message)

    async def PipelineStatusEvent(
        self, request: chainer.PipelineUpdateStatusMessage, context: Any
    ) -> chainer.PipelineUpdateStatusResponse:
        self.reports.put_nowait(request)
        return chainer.PipelineUpdateStatusResponse()

    async def load(
        self, subscriber: str, pipeline: pb.Pipeline, steps_serve: bool = True
    ) -> chainer.PipelineUpdateStatusMessage:
        """Instruct, and wait for the report. The models of its steps are said to serve."""
        for step in pipeline.steps if steps_serve else ():
            self.tell_model(step.name, "ModelAvailable")
        self.send(subscriber, CREATE, pipeline)
        return await self.reports.get()

    async def unload(self, subscriber: str, pipeline: pb.Pipeline) -> chainer.PipelineUpdateStatusMessage:
        self.send(subscriber, DELETE, pipeline)
        return await self.reports.get()

    def send(self, subscriber: str, operation: "_Operation", pipeline: pb.Pipeline) -> None:
        self._clock += 1
        self._feeds[subscriber].put_nowait(
            pb.PipelineStatusResponse(
                pipelineName=pipeline.name,
                versions=[pb.PipelineWithState(pipeline=pipeline)],
                operation=operation,
                timestamp=self._clock,
            )
        )


def pipeline(name: str, version: int = 1, output: bool = True, steps: tuple[str, ...] = ("step",)) -> pb.Pipeline:
    """A chain of steps."""
    made = pb.Pipeline(name=name, uid=f"{name}-{version}", version=version)
    for before, step in zip((None, *steps), steps, strict=False):
        made.steps.append(pb.PipelineStep(name=step, inputs=[before] if before else []))
    if output:
        made.output.steps.append(steps[-1])
    return made
