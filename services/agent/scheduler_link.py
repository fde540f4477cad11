"""The agent's connection to the scheduler: registers, receives operations, reports outcomes, never gives up."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from mlops.agent import agent_pb2, agent_pb2_grpc

from shared.backoff import exponential
from shared.logs import logger
from shared.rpc import channel

_log = logger("scheduler-link")

_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0
_SILENCE_SECONDS = 1.0
_EVENT_SECONDS = 10.0
_EVENT_ATTEMPTS = 4
_LOST_ON_THE_WAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class SchedulerLink:
    """One subscription to the scheduler at `target`. `status` is told "" while it stands, else what is missing."""

    def __init__(self, target: str, metadata: list[tuple[str, str]], status: Callable[[str], None]) -> None:
        self._target = target
        self._metadata = metadata
        self._status = status
        self._channel = channel(target)
        self._stub: Any = agent_pb2_grpc.AgentServiceStub(self._channel)
        self._server_name, self._replica_index = "", 0

    async def close(self) -> None:
        await self._channel.close(None)

    async def run(
        self,
        registration: Callable[[], agent_pb2.AgentSubscribeRequest],
        accept: Callable[[agent_pb2.ModelOperationMessage], None],
    ) -> None:
        """Stay subscribed, for ever: register with what `registration` says at that moment, hand on each operation."""
        delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
        while True:
            request = registration()
            self._server_name, self._replica_index = request.serverName, request.replicaIdx
            stream = self._stub.Subscribe(request, metadata=self._metadata)
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
            self._status(f"scheduler at {self._target}: {reason}; next attempt in {delay:.1f} s")
            _log.warning("not subscribed", scheduler=self._target, reason=reason, retry_seconds=delay)
            await asyncio.sleep(delay)

    async def _tell_when_accepted(self, stream: Any) -> None:
        # Headers say that the scheduler accepted; one that sends none before its first operation just stays connected.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_SECONDS):
                await stream.initial_metadata()
        connected = self._channel.get_state() is grpc.ChannelConnectivity.READY
        if connected and not stream.done():
            self._status("")
            _log.info("subscribed", scheduler=self._target)

    async def send(self, event: agent_pb2.ModelEventMessage) -> None:
        """Report an outcome. One that cannot be delivered is dropped: the next registration tells the same."""
        event.serverName, event.replicaIdx = self._server_name, self._replica_index
        delays = exponential(_FIRST_DELAY, _LONGEST_DELAY)
        for attempt in range(1, _EVENT_ATTEMPTS + 1):
            try:
                await self._stub.AgentEvent(event, timeout=_EVENT_SECONDS)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() not in _LOST_ON_THE_WAY or attempt == _EVENT_ATTEMPTS:
                    _log.warning(
                        "outcome not delivered", model=event.modelName, code=error.code().name, reason=error.details()
                    )
                    return
            await asyncio.sleep(next(delays))
