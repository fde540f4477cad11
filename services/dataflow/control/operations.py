"""What the scheduler asks for, in order for each pipeline, and what it is told about it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias

from aiokafka.errors import KafkaError
from mlops.chainer.chainer_pb2 import PipelineUpdateMessage, PipelineUpdateStatusMessage

from services.dataflow.kafka.outbox import sentence
from services.dataflow.kafka.pipelines import Pipelines
from shared.backoff import Attempts
from shared.errors import DeadlineExceeded, InvalidInput, Unavailable
from shared.logs import logger

_READY: Final = "pipeline data streams: ready"
_REMOVED: Final = "pipeline removed"
_KAFKA: Final = (KafkaError, Unavailable, DeadlineExceeded, OSError)
_ATTEMPTS: Final = 6
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0
_log = logger("operations")

Report: TypeAlias = Callable[[PipelineUpdateStatusMessage], Awaitable[None]]


class Operations:
    """Different pipelines at the same time. What has not begun gives way to a newer operation on the same version."""

    def __init__(self, pipelines: Pipelines, report: Report) -> None:
        self._pipelines = pipelines
        self._report = report
        self._pending: dict[str, list[PipelineUpdateMessage]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, message: PipelineUpdateMessage) -> None:
        """Take an operation; it is reported when it is done, or never when a newer one overtook it."""
        queue = self._pending.get(message.pipeline)
        if queue is None:
            self._pending[message.pipeline] = [message]
            self._spawn(self._work(message.pipeline), f"operations of {message.pipeline}")
        else:
            queue[:] = [waiting for waiting in queue if waiting.uid != message.uid]
            queue.append(message)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, pipeline: str) -> None:
        queue = self._pending[pipeline]
        while queue:
            message = queue.pop(0)
            try:
                rest = await self._insist(message)
            except Exception as error:
                await self._tell_failure(message, error)
            else:
                if rest is None:
                    await self._tell_success(message)
                else:
                    self._spawn(self._finish(message, rest), f"end of {pipeline} version {message.version}")
        del self._pending[pipeline]

    async def _insist(self, message: PipelineUpdateMessage) -> Awaitable[None] | None:
        """Try again when it is Kafka that fails, a few times."""
        async for attempt in Attempts(_FIRST_DELAY, _LONGEST_DELAY, _ATTEMPTS):
            try:
                return await self._begin(message)
            except _KAFKA as error:
                if attempt.is_last:
                    raise
                _log.warning(
                    "operation failed",
                    pipeline=message.pipeline,
                    attempt=attempt.number,
                    reason=sentence(error),
                    next_attempt_seconds=attempt.delay,
                )
        raise AssertionError("the last attempt returns or raises")

    async def _begin(self, message: PipelineUpdateMessage) -> Awaitable[None] | None:
        """What is left to wait for, where the next operation need not wait for it."""
        if message.op == PipelineUpdateMessage.Delete:
            return await self._pipelines.delete(message)
        if message.op not in (PipelineUpdateMessage.Create, PipelineUpdateMessage.Rebalance):
            raise InvalidInput.of_field("op", message.op, "send Create or Delete")
        await self._pipelines.create(message)
        return None

    async def _finish(self, message: PipelineUpdateMessage, rest: Awaitable[None]) -> None:
        try:
            await rest
        except Exception as error:
            await self._tell_failure(message, error)
        else:
            await self._tell_success(message)

    async def _tell_success(self, message: PipelineUpdateMessage) -> None:
        reason = _REMOVED if message.op == PipelineUpdateMessage.Delete else _READY
        await self._report(PipelineUpdateStatusMessage(update=_echo(message), success=True, reason=reason))

    async def _tell_failure(self, message: PipelineUpdateMessage, error: Exception) -> None:
        if isinstance(error, _KAFKA):
            reason = f"kafka streams topic creation error: {sentence(error)}"
        else:
            reason = f"failed to create all pipeline steps: {sentence(error)}"
        if isinstance(error, (*_KAFKA, InvalidInput)):
            _log.error("operation failed for good", pipeline=message.pipeline, uid=message.uid, reason=reason)
        else:
            _log.exception("operation failed for good", pipeline=message.pipeline, uid=message.uid, exc_info=error)
        await self._report(PipelineUpdateStatusMessage(update=_echo(message), success=False, reason=reason))


def _echo(message: PipelineUpdateMessage) -> PipelineUpdateMessage:
    """What tells the scheduler which operation is meant."""
    return PipelineUpdateMessage(
        op=message.op,
        pipeline=message.pipeline,
        version=message.version,
        uid=message.uid,
        timestamp=message.timestamp,
        stream=message.stream,
    )
