"""A scheduler as a model gateway sees it: it gives instructions and hears reports."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from shared import owners

SECONDS = 30.0


class Scheduler(scheduler_pb2_grpc.SchedulerServicer):  # the rest of its methods are not served
    """One subscriber at a time per name."""

    def __init__(self) -> None:
        self.reports: asyncio.Queue[pb.ModelUpdateStatusMessage] = asyncio.Queue()
        self._subscribed: dict[str, asyncio.Event] = {}
        self._feeds: dict[str, asyncio.Queue[pb.ModelStatusResponse]] = {}
        self.port = 0
        self._clock = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Scheduler"]:
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        scheduler_pb2_grpc.add_SchedulerServicer_to_server(self, server)
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    async def SubscribeModelStatus(
        self, request: pb.ModelSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.ModelStatusResponse]:
        assert request.isModelGateway
        feed = self._feeds[request.subscriberName] = asyncio.Queue()
        await context.send_initial_metadata(())
        self._subscribed.setdefault(request.subscriberName, asyncio.Event()).set()
        while True:
            yield await feed.get()

    async def ModelStatusEvent(
        self, request: pb.ModelUpdateStatusMessage, context: Any
    ) -> pb.ModelUpdateStatusResponse:
        self.reports.put_nowait(request)
        return pb.ModelUpdateStatusResponse()

    async def subscribed(self, subscriber: str) -> None:
        """Wait for this gateway's next subscription."""
        event = self._subscribed.setdefault(subscriber, asyncio.Event())
        async with asyncio.timeout(SECONDS):
            await event.wait()
        event.clear()

    async def create(
        self, subscriber: str, model: str, owners: Sequence[str] = (), version: int = 1
    ) -> pb.ModelUpdateStatusMessage:
        """Instruct, and wait for the report."""
        return await self._instruct(subscriber, model, pb.ModelStatusResponse.ModelCreate, owners, version)

    async def delete(
        self, subscriber: str, model: str, clean: bool = False, keep_topics: bool = True
    ) -> pb.ModelUpdateStatusMessage:
        operation = pb.ModelStatusResponse.ModelDelete
        return await self._instruct(subscriber, model, operation, (), 1, clean=clean, keep_topics=keep_topics)

    async def _instruct(
        self,
        subscriber: str,
        model: str,
        operation: "pb.ModelStatusResponse.ModelOperation.ValueType",
        members: Sequence[str],
        version: int,
        clean: bool = False,
        keep_topics: bool = True,
    ) -> pb.ModelUpdateStatusMessage:
        self._clock += 1
        message = pb.ModelStatusResponse(
            modelName=model,
            versions=[pb.ModelVersionStatus(version=version)],
            operation=operation,
            keepTopics=keep_topics,
            timestamp=self._clock,
        )
        message.versions[0].modelDefn.dataflowSpec.cleanTopicsOnDelete = clean
        owners.attach(message, members)
        self._feeds[subscriber].put_nowait(message)
        async with asyncio.timeout(SECONDS):
            report = await self.reports.get()
        assert report.update.timestamp == self._clock
        assert report.update.stream == subscriber
        return report
