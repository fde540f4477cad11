"""The gateway's subscription to the scheduler: which pipelines to serve. Never gives up."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiokafka.errors import KafkaError
from mlops.chainer.chainer_pb2 import PipelineUpdateMessage, PipelineUpdateStatusMessage
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.pipelinegateway.core.definitions import definition_of
from services.pipelinegateway.pipelines import Pipelines
from shared.errors import SeldonError
from shared.logs import logger
from shared.reporting import Delivery
from shared.subscription import Subscription

_log = logger("scheduler-link")

_DELIVERY: Final = Delivery(attempts=5, timeout=5.0, first_delay=0.1)
_CREATE: Final = pb.PipelineStatusResponse.PipelineCreate
_DELETE: Final = pb.PipelineStatusResponse.PipelineDelete


class SchedulerLink:
    """One subscription at `target` under `name`. `status` is told "" while it stands, else what is missing."""

    def __init__(
        self,
        target: str,
        name: str,
        address: str,
        metadata: list[tuple[str, str]],
        pipelines: Pipelines,
        status: Callable[[str], None],
    ) -> None:
        self._name = name
        self._request = pb.PipelineSubscriptionRequest(
            subscriberName=name, subscriberIp=address, isPipelineGateway=True
        )
        self._metadata = metadata
        self._pipelines = pipelines
        self._subscription: Subscription[pb.PipelineStatusResponse] = Subscription(
            target, status, accepted=pipelines.subscribed, name=name
        )
        self._stub: Any = scheduler_pb2_grpc.SchedulerStub(self._subscription.channel)
        self._work: set[asyncio.Task[None]] = set()

    def leave(self) -> None:
        """Unsubscribe, so that callers are led elsewhere."""
        self._subscription.leave()

    async def close(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._subscription.close()

    async def run(self) -> None:
        """Stay subscribed until `leave`; what was loaded stays while the scheduler is away."""

        def subscribe() -> Any:
            return self._stub.SubscribePipelineStatus(self._request, metadata=self._metadata)

        await self._subscription.run(subscribe, self._accept)

    def _accept(self, message: pb.PipelineStatusResponse) -> None:
        if len(message.versions) != 1 or message.operation not in (_CREATE, _DELETE):
            _log.warning("instruction without effect", pipeline=message.pipelineName, versions=len(message.versions))
            return
        # Instructions for one pipeline keep their order: tasks start in it and then queue for the pipeline's lock.
        task = asyncio.create_task(self._follow(message))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _follow(self, message: pb.PipelineStatusResponse) -> None:
        pipeline = message.versions[0].pipeline
        try:
            if message.operation == _CREATE:
                await self._pipelines.load(definition_of(pipeline))
                success, reason = True, f"Pipeline {pipeline.name} loaded"
            else:
                existed = await self._pipelines.unload(pipeline.name, pipeline.version)
                deleted, absent = f"Pipeline {pipeline.name} deleted", f"No existing pipeline {pipeline.name} to delete"
                success, reason = True, deleted if existed else absent
        except (SeldonError, KafkaError, OSError) as error:
            verb = "load" if message.operation == _CREATE else "delete"
            success, reason = False, f"Failed to {verb} pipeline {pipeline.name}: {str(error) or repr(error)}"
        _log.info(reason, pipeline=pipeline.name, version=pipeline.version, success=success)
        await self._report(message, success, reason)

    async def _report(self, message: pb.PipelineStatusResponse, success: bool, reason: str) -> None:
        pipeline = message.versions[0].pipeline
        operation = PipelineUpdateMessage.Create if message.operation == _CREATE else PipelineUpdateMessage.Delete
        update = PipelineUpdateMessage(
            op=operation,
            pipeline=pipeline.name,
            version=pipeline.version,
            uid=pipeline.uid,
            timestamp=message.timestamp,
            stream=self._name,
        )
        report = PipelineUpdateStatusMessage(update=update, success=success, reason=reason)
        await _DELIVERY.of(self._stub.PipelineStatusEvent, report, pipeline=pipeline.name)
