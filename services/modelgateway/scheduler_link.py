"""The gateway's subscription to the scheduler: which models to serve. Never gives up."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio
from aiokafka.errors import KafkaError
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.modelgateway.models import Models
from shared.backoff import exponential
from shared.errors import SeldonError
from shared.logs import logger
from shared.owners import owners_of
from shared.rpc import channel

_log = logger("scheduler-link")

_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 5.0
_SILENCE_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 5.0
_REPORT_ATTEMPTS: Final = 5
_REPORT_DELAY: Final = 0.1
_CREATE: Final = pb.ModelStatusResponse.ModelCreate
_DELETE: Final = pb.ModelStatusResponse.ModelDelete


class SchedulerLink:
    """One subscription at `target` under `name`. `status` is told "" while it stands, else what is missing."""

    def __init__(self, target: str, name: str, models: Models, status: Callable[[str], None]) -> None:
        self._target = target
        self._name = name
        self._models = models
        self._status = status
        self._channel = channel(target)
        self._stub: Any = scheduler_pb2_grpc.SchedulerStub(self._channel)
        self._work: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._channel.close(None)

    async def run(self) -> None:
        """Stay subscribed, for ever; what is served stays served while the scheduler is away."""
        request = pb.ModelSubscriptionRequest(subscriberName=self._name, isModelGateway=True)
        delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
        while True:
            stream = self._stub.SubscribeModelStatus(request)
            accepted = asyncio.create_task(self._tell_when_accepted(stream))
            try:
                async for message in stream:
                    delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
                    self._accept(message)
                reason = "it ended the subscription"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            finally:
                accepted.cancel()
                stream.cancel()
            delay = next(delays)
            self._status(f"scheduler at {self._target}: {reason}; next attempt in {delay:.1f} s")
            _log.warning("not subscribed", scheduler=self._target, reason=reason, retry_seconds=delay)
            await asyncio.sleep(delay)

    async def _tell_when_accepted(self, stream: Any) -> None:
        # Headers say that the scheduler accepted; one that sends none before its first message just stays connected.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_SECONDS):
                await stream.initial_metadata()
        if self._channel.get_state() is grpc.ChannelConnectivity.READY and not stream.done():
            self._status("")
            _log.info("subscribed", scheduler=self._target, name=self._name)

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
        delays = exponential(_REPORT_DELAY, _LONGEST_DELAY)
        for _ in range(_REPORT_ATTEMPTS):
            try:
                await self._stub.ModelStatusEvent(report, timeout=_REPORT_SECONDS)
                return
            except grpc.aio.AioRpcError as error:
                _log.warning("report not delivered", model=message.modelName, code=error.code().name)
            await asyncio.sleep(next(delays))
