"""The gateway's subscription to the scheduler: which pipelines to serve. Never gives up."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio
from aiokafka.errors import KafkaError
from mlops.chainer.chainer_pb2 import PipelineUpdateMessage, PipelineUpdateStatusMessage
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.pipelinegateway.definitions import definition_of
from services.pipelinegateway.pipelines import Pipelines
from shared.backoff import exponential
from shared.errors import SeldonError
from shared.logs import logger
from shared.rpc import channel

_log = logger("scheduler-link")

_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 5.0
_SILENCE_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 5.0
_REPORT_ATTEMPTS: Final = 5
_REPORT_DELAY: Final = 0.1
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
        self._target = target
        self._name = name
        self._request = pb.PipelineSubscriptionRequest(
            subscriberName=name, subscriberIp=address, isPipelineGateway=True
        )
        self._metadata = metadata
        self._pipelines = pipelines
        self._status = status
        self._channel = channel(target)
        self._stub: Any = scheduler_pb2_grpc.SchedulerStub(self._channel)
        self._stream: Any = None
        self._left = False
        self._work: set[asyncio.Task[None]] = set()

    def leave(self) -> None:
        """Unsubscribe, so that callers are led elsewhere."""
        self._left = True
        if self._stream is not None:
            self._stream.cancel()

    async def close(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._channel.close(None)

    async def run(self) -> None:
        """Stay subscribed until `leave`; what was loaded stays while the scheduler is away."""
        delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
        while not self._left:
            stream = self._stream = self._stub.SubscribePipelineStatus(self._request, metadata=self._metadata)
            accepted = asyncio.create_task(self._tell_when_accepted(stream))
            try:
                async for message in stream:
                    delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
                    self._accept(message)
                reason = "it ended the subscription"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except asyncio.CancelledError:
                if self._left:
                    return
                raise
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
            self._pipelines.subscribed()
            _log.info("subscribed", scheduler=self._target, name=self._name)

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
        delays = exponential(_REPORT_DELAY, _LONGEST_DELAY)
        for _ in range(_REPORT_ATTEMPTS):
            try:
                await self._stub.PipelineStatusEvent(report, timeout=_REPORT_SECONDS)
                return
            except grpc.aio.AioRpcError as error:
                _log.warning("report not delivered", pipeline=pipeline.name, code=error.code().name)
            await asyncio.sleep(next(delays))
