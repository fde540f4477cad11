"""The agent's connection to the scheduler: registers, receives operations, reports outcomes, never gives up."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mlops.agent import agent_pb2, agent_pb2_grpc

from shared import timing
from shared.reporting import LOST_ON_THE_WAY, Delivery
from shared.rpc_tracing import client_span
from shared.subscription import Subscription
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import OFF, Tracer

_REPORT: Final = "seldon.mlops.agent.AgentService/AgentEvent"
_DELIVERY: Final = Delivery(
    attempts=timing.REPORT_ATTEMPTS, timeout=timing.REPORT_TIMEOUT, first_delay=0.2, retried=LOST_ON_THE_WAY
)


class SchedulerLink:
    """One subscription to the scheduler at `target`. `status` is told "" while it stands, else what is missing."""

    def __init__(
        self, target: str, metadata: list[tuple[str, str]], status: Callable[[str], None], tracer: Tracer = OFF
    ) -> None:
        self._metadata = metadata
        self._tracer = tracer
        self._subscription: Subscription[agent_pb2.ModelOperationMessage] = Subscription(target, status)
        self._stub: Any = agent_pb2_grpc.AgentServiceStub(self._subscription.channel)
        self._server_name, self._replica_index = "", 0

    async def close(self) -> None:
        await self._subscription.close()

    async def run(
        self,
        registration: Callable[[], agent_pb2.AgentSubscribeRequest],
        accept: Callable[[agent_pb2.ModelOperationMessage], None],
    ) -> None:
        """Stay subscribed, for ever: register with what `registration` says at that moment, hand on each operation."""

        def subscribe() -> Any:
            request = registration()
            self._server_name, self._replica_index = request.serverName, request.replicaIdx
            return self._stub.Subscribe(request, metadata=self._metadata)

        await self._subscription.run(subscribe, accept)

    async def send(self, event: agent_pb2.ModelEventMessage, under: Span = NO_SPAN) -> None:
        """Report an outcome. One that cannot be delivered is dropped: the next registration tells the same."""
        event.serverName, event.replicaIdx = self._server_name, self._replica_index
        with client_span(self._tracer, _REPORT, under) as span:
            call = partial(self._stub.AgentEvent, metadata=span.headers())
            await _DELIVERY.of(call, event, model=event.modelName)
