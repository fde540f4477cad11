"""The gateway's subscription to the scheduler: which models to serve. Never gives up."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiokafka.errors import KafkaError
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.modelgateway.models import Models
from shared.errors import SeldonError
from shared.logs import logger
from shared.owners import owners_of
from shared.reporting import Delivery
from shared.subscription import Subscription

_log = logger("scheduler-link")

_DELIVERY: Final = Delivery(attempts=5, timeout=5.0, first_delay=0.1)
_CREATE: Final = pb.ModelStatusResponse.ModelCreate
_DELETE: Final = pb.ModelStatusResponse.ModelDelete


class SchedulerLink:
    """One subscription at `target` under `name`. `status` is told "" while it stands, else what is missing."""

    def __init__(self, target: str, name: str, models: Models, status: Callable[[str], None]) -> None:
        self._name = name
        self._models = models
        self._subscription: Subscription[pb.ModelStatusResponse] = Subscription(target, status, name=name)
        self._stub: Any = scheduler_pb2_grpc.SchedulerStub(self._subscription.channel)
        self._work: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._subscription.close()

    async def run(self) -> None:
        """Stay subscribed, for ever; what is served stays served while the scheduler is away."""
        request = pb.ModelSubscriptionRequest(subscriberName=self._name, isModelGateway=True)
        await self._subscription.run(lambda: self._stub.SubscribeModelStatus(request), self._accept)

    def _accept(self, message: pb.ModelStatusResponse) -> None:
        if len(message.versions) != 1 or message.operation not in (_CREATE, _DELETE):
            _log.warning("instruction without effect", model=message.modelName, versions=len(message.versions))
            return
        # Instructions for one model keep their order: tasks start in it and then queue for the model's lock.
        task = asyncio.create_task(self._follow(message))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _follow(self, message: pb.ModelStatusResponse) -> None:
        model = message.modelName
        creates = message.operation == _CREATE
        try:
            if creates:
                added = await self._models.create(model, owners_of(message))
                reason = f"Model {model} added" if added else f"Model consumer {model} already exists"
            else:
                clean = message.versions[0].modelDefn.dataflowSpec.cleanTopicsOnDelete
                await self._models.delete(model, with_topics=clean and not message.keepTopics)
                reason = f"Model {model} removed"
            success = True
        except (SeldonError, KafkaError, OSError) as error:
            verb = "add" if creates else "remove"
            success, reason = False, f"Failed to {verb} model {model}: {str(error) or type(error).__name__}"
        _log.info(reason, model=model, version=message.versions[0].version, success=success)
        await self._report(message, success, reason)

    async def _report(self, message: pb.ModelStatusResponse, success: bool, reason: str) -> None:
        creates = message.operation == _CREATE
        update = pb.ModelUpdateMessage(
            op=pb.ModelUpdateMessage.Create if creates else pb.ModelUpdateMessage.Delete,
            model=message.modelName,
            version=message.versions[0].version,
            timestamp=message.timestamp,
            stream=self._name,
        )
        report = pb.ModelUpdateStatusMessage(update=update, success=success, reason=reason)
        await _DELIVERY.of(self._stub.ModelStatusEvent, report, model=message.modelName)
