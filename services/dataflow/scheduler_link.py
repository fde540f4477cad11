"""The engine's connection to the scheduler: subscribes, receives operations, reports outcomes, never gives up."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio
from mlops.chainer import chainer_pb2, chainer_pb2_grpc

from shared.backoff import exponential
from shared.logs import logger
from shared.rpc import channel

_FIRST_DELAY, _LONGEST_DELAY = 0.05, 5.0
_SILENCE_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 10.0
_REPORT_ATTEMPTS: Final = 6
_LOST_ON_THE_WAY: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_log = logger("scheduler-link")


class SchedulerLink:
    """One subscription to the scheduler at `target`. `status` is told "" while it stands, else what is missing."""

    def __init__(self, target: str, me: str, status: Callable[[str], None]) -> None:
        self._target = target
        self._me = me
        self._status = status
        self._channel = channel(target)
        self._stub: Any = chainer_pb2_grpc.ChainerStub(self._channel)

    async def close(self) -> None:
        await self._channel.close(None)

    async def run(self, accept: Callable[[chainer_pb2.PipelineUpdateMessage], None]) -> None:
        """Stay subscribed, for ever. The scheduler sends everything again each time."""
        delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
        self._status(f"scheduler at {self._target}: not reached yet")
        while True:
            stream = self._stub.SubscribePipelineUpdates(chainer_pb2.PipelineSubscriptionRequest(name=self._me))
            accepted = asyncio.create_task(self._tell_when_accepted(stream))
            try:
                async for message in stream:
                    delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
                    accept(message)
                reason = "it ended the subscription"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            finally:
                accepted.cancel()
                stream.cancel()
            delay = next(delays)
            self._status(f"scheduler at {self._target}: {reason}; next attempt in {delay:g} s")
            _log.warning("not subscribed", scheduler=self._target, reason=reason, next_attempt_seconds=delay)
            await asyncio.sleep(delay)

    async def _tell_when_accepted(self, stream: Any) -> None:
        # Headers say that the scheduler accepted; one that sends none before its first operation just stays connected.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_SECONDS):
                await stream.initial_metadata()
        connected = self._channel.get_state() is grpc.ChannelConnectivity.READY
        if connected and not stream.done():
            self._status("")
            _log.info("subscribed", scheduler=self._target, name=self._me)

    async def report(self, status: chainer_pb2.PipelineUpdateStatusMessage) -> None:
        """Tell an outcome. One that cannot be delivered is dropped: after the next subscription it is told again."""
        delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
        for attempt in range(1, _REPORT_ATTEMPTS + 1):
            try:
                await self._stub.PipelineUpdateEvent(status, timeout=_REPORT_SECONDS)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() not in _LOST_ON_THE_WAY or attempt == _REPORT_ATTEMPTS:
                    update, code = status.update, error.code().name
                    _log.warning("outcome not delivered", pipeline=update.pipeline, code=code, reason=error.details())
                    return
            await asyncio.sleep(next(delays))
