"""The calls of the `Scheduler` service about servers and the scheduler itself."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.scheduler.core.models.status import server_status
from services.scheduler.core.state import MAX_REPLICAS, Server
from services.scheduler.engine import Engine
from services.scheduler.requests import required
from shared.errors import InvalidInput, RejectedRequest
from shared.names import validate_name
from shared.version import VERSION


class ServerCalls(scheduler_pb2_grpc.SchedulerServicer):
    _engine: Engine

    async def ServerNotify(self, request: pb.ServerNotifyRequest, context: Any) -> pb.ServerNotifyResponse:
        for position, wanted in enumerate(request.servers):
            required(wanted.name, f"servers[{position}].name")
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
