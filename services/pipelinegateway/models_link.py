"""How the models stand, as the scheduler says: a subscription that never ends."""

import asyncio
from typing import Any, Final

from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.pipelinegateway.core.model_states import ModelStates
from shared.subscription import Subscription

_SETTLE_SECONDS: Final = 5.0
"""After a subscription is accepted: by then the scheduler has said how every model stands."""


class ModelsLink:
    """`states` is kept up to date; `changed` is set and cleared at every piece of news."""

    def __init__(self, target: str, name: str, states: ModelStates, changed: asyncio.Event) -> None:
        self._states = states
        self._changed = changed
        self._round = 0
        self._request = pb.ModelSubscriptionRequest(subscriberName=name)
        self._subscription: Subscription[pb.ModelStatusResponse] = Subscription(
            target, lambda missing: None, accepted=self._accepted, name=f"{name}, models"
        )
        self._stub: Any = scheduler_pb2_grpc.SchedulerStub(self._subscription.channel)

    async def close(self) -> None:
        await self._subscription.close()

    async def run(self) -> None:
        """Stay subscribed, for ever; what was told holds while the scheduler is away."""
        await self._subscription.run(self._subscribe, self._tell)

    def _subscribe(self) -> Any:
        self._round = self._states.begin()
        return self._stub.SubscribeModelStatus(self._request)

    def _accepted(self) -> None:
        asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._settle, self._round)

    def _settle(self, round: int) -> None:
        self._states.complete(round)
        self._wake()

    def _tell(self, message: pb.ModelStatusResponse) -> None:
        self._states.tell(message)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()
