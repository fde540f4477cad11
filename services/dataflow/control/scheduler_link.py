"""The engine's connection to the scheduler: subscribes, receives operations, reports outcomes, never gives up."""

from collections.abc import Callable
from typing import Any, Final

from mlops.chainer import chainer_pb2, chainer_pb2_grpc

from shared.reporting import LOST_ON_THE_WAY, Delivery
from shared.subscription import Subscription

_FIRST_DELAY: Final = 0.05
_DELIVERY: Final = Delivery(attempts=6, timeout=10.0, first_delay=_FIRST_DELAY, retried=LOST_ON_THE_WAY)


class SchedulerLink:
    """One subscription to the scheduler at `target`. `status` is told "" while it stands, else what is missing."""

    def __init__(self, target: str, me: str, status: Callable[[str], None]) -> None:
        self._me = me
        self._subscription: Subscription[chainer_pb2.PipelineUpdateMessage] = Subscription(
            target, status, _FIRST_DELAY, name=me
        )
        self._stub: Any = chainer_pb2_grpc.ChainerStub(self._subscription.channel)
        status(f"scheduler at {target}: not reached yet")

    async def close(self) -> None:
        await self._subscription.close()

    async def run(self, accept: Callable[[chainer_pb2.PipelineUpdateMessage], None]) -> None:
        """Stay subscribed, for ever. The scheduler sends everything again each time."""
        request = chainer_pb2.PipelineSubscriptionRequest(name=self._me)
        await self._subscription.run(lambda: self._stub.SubscribePipelineUpdates(request), accept)

    async def report(self, status: chainer_pb2.PipelineUpdateStatusMessage) -> None:
        """Tell an outcome. One that cannot be delivered is dropped: after the next subscription it is told again."""
        await _DELIVERY.of(self._stub.PipelineUpdateEvent, status, pipeline=status.update.pipeline)
