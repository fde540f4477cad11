"""A service's stream of instructions from the scheduler, opened again for ever."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import grpc
import grpc.aio

from shared.delays import exponential
from shared.logs import logger
from shared.rpc import channel, why

_log = logger("scheduler-link")

_LONGEST_DELAY: Final = 5.0
_SILENCE_SECONDS: Final = 1.0
Message = TypeVar("Message")


class Subscription(Generic[Message]):
    """One stream from the scheduler at `target`. `status` is told "" while it stands, else what is missing.

    `accepted` is called each time before that "". `about` is said in the log. Delays between attempts are in seconds.
    """

    def __init__(
        self,
        target: str,
        status: Callable[[str], None],
        first_delay: float = 0.2,
        accepted: Callable[[], None] = lambda: None,
        **about: str,
    ) -> None:
        self._target = target
        self._status = status
        self._first_delay = first_delay
        self._accepted = accepted
        self._about = about
        self.channel = channel(target)
        """For the service's stub, and for its other calls."""
        self._stream: Any = None
        self._left = False

    async def close(self) -> None:
        await self.channel.close(None)

    def leave(self) -> None:
        """End the stream for good; `run` returns."""
        self._left = True
        if self._stream is not None:
            self._stream.cancel()

    async def run(self, subscribe: Callable[[], Any], accept: Callable[[Message], None]) -> None:
        """Stay subscribed until `leave`: open the stream with `subscribe`, hand each message to `accept`."""
        delays = exponential(self._first_delay, _LONGEST_DELAY)
        while not self._left:
            stream = self._stream = subscribe()
            watching = asyncio.create_task(self._tell_when_accepted(stream))
            try:
                async for message in stream:
                    delays = exponential(self._first_delay, _LONGEST_DELAY)
                    accept(message)
                reason = "it ended the subscription"
            except grpc.aio.AioRpcError as error:
                reason = why(error)
            except asyncio.CancelledError:
                if self._left:
                    return
                raise
            finally:
                watching.cancel()
                stream.cancel()
            delay = next(delays)
            self._status(f"scheduler at {self._target}: {reason}; next attempt in {delay:g} s")
            _log.warning("not subscribed", scheduler=self._target, reason=reason, retry_seconds=delay)
            await asyncio.sleep(delay)

    async def _tell_when_accepted(self, stream: Any) -> None:
        # Headers say that the scheduler accepted; one that sends none before its first message just stays connected.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SILENCE_SECONDS):
                await stream.initial_metadata()
        if self.channel.get_state() is grpc.ChannelConnectivity.READY and not stream.done():
            self._accepted()
            self._status("")
            _log.info("subscribed", scheduler=self._target, **self._about)
