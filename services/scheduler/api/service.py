"""The `Scheduler` gRPC service: desired state in, status out."""

from collections.abc import AsyncIterator
from typing import Any, Final

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.api.models import ModelCalls
from services.scheduler.api.pipelines import PipelineCalls
from services.scheduler.api.servers import ServerCalls
from services.scheduler.engine import Engine
from shared.errors import NotImplementedYet

_EXPERIMENTS: Final = "experiments are not served by this scheduler yet; models and pipelines are"


class SchedulerService(ModelCalls, PipelineCalls, ServerCalls):
    """Errors leave as SeldonError and become a status in the server's interceptor."""

    def __init__(self, engine: Engine, gateway_ports: tuple[int, int]) -> None:
        """`gateway_ports`, HTTP and gRPC, are those of pipeline gateways that do not tell their own."""
        self._engine = engine
        self._gateway_ports = gateway_ports

    # The `yield` after a `raise` makes a method the stream that its caller expects.

    async def StartExperiment(self, request: pb.StartExperimentRequest, context: Any) -> pb.StartExperimentResponse:
        raise NotImplementedYet(_EXPERIMENTS)

    async def StopExperiment(self, request: pb.StopExperimentRequest, context: Any) -> pb.StopExperimentResponse:
        raise NotImplementedYet(_EXPERIMENTS)

    async def ExperimentStatus(
        self, request: pb.ExperimentStatusRequest, context: Any
    ) -> AsyncIterator[pb.ExperimentStatusResponse]:
        raise NotImplementedYet(_EXPERIMENTS)
        yield

    async def SubscribeExperimentStatus(
        self, request: pb.ExperimentSubscriptionRequest, context: Any
    ) -> AsyncIterator[pb.ExperimentStatusResponse]:
        raise NotImplementedYet(_EXPERIMENTS)
        yield
