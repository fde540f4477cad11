"""What REST and gRPC have in common: which pipeline is meant, the way through Kafka, readiness and metadata."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from aiokafka.errors import KafkaError

from services.pipelinegateway.calls import Call
from services.pipelinegateway.core.admission import Admission
from services.pipelinegateway.core.deadlines import HEADER_TIMEOUT, timeout_seconds
from services.pipelinegateway.core.passed_headers import Header
from services.pipelinegateway.core.pipeline_metadata import describe
from services.pipelinegateway.core.resources import Kind, Resource
from services.pipelinegateway.exchange import CallerGone, Exchange, Patience
from services.pipelinegateway.models import Models
from services.pipelinegateway.models_behind import ModelsBehind
from services.pipelinegateway.pipelines import Pipelines
from services.pipelinegateway.routes import Route
from services.pipelinegateway.steps import Steps
from shared.beside import Beside
from shared.errors import DeadlineExceeded, NotFound, Unavailable
from shared.names import HEADER_REQUEST_ID
from shared.tracing.tracer import Tracer
from shared.xid import Xids

NAME: Final = "seldon-pipeline-gateway"
EXTENSIONS: Final = ("binary_tensor_data",)


class Gateway:
    """`closed` is why nothing is taken now, as text for callers; empty while the gateway works."""

    def __init__(
        self,
        ids: Xids,
        pipelines: Pipelines,
        models: Models,
        exchange: Exchange,
        behind: ModelsBehind,
        steps: Steps,
        timeout_ms: int,
        admission: Admission,
        beside: Beside,
        message_max_bytes: int,
        tracer: Tracer,
    ) -> None:
        self._ids = ids
        self._pipelines = pipelines
        self._models = models
        self._exchange = exchange
        self._behind = behind
        self._steps = steps
        self._timeout_ms = timeout_ms
        self.admission: Final = admission
        self.beside: Final = beside
        self.message_max_bytes: Final = message_max_bytes
        self.tracer: Final = tracer
        self.closed = "it is not connected to Kafka yet"

    def arrive(self, received: Iterable[Header], client_id: bytes | None) -> Call:
        """A call has come in; `received` are its headers with lower-case names."""
        return Call(self._ids.new(int(time.time())), received, client_id)

    async def route(self, call: Call, resource: Resource) -> Route:
        """Raises NotFound or Unavailable."""
        if self.closed:
            raise Unavailable(f"the pipeline gateway takes no requests now: {self.closed}")
        if resource.kind is Kind.PIPELINE:
            await self._pipelines.told_of(resource.name)
            route = self._pipelines.route(resource.name)
        else:
            try:
                route = await self._models.route(resource.name)
            except KafkaError as error:
                raise Unavailable(f"Kafka does not say whether {resource} has topics: {error!r}") from None
        call.resource = resource.name
        return route

    def patience(self, header: str | None, caller_seconds: float | None = None) -> Patience:
        """How long to wait from now on. Raises InvalidInput for a wrong header."""
        return Patience(timeout_seconds(self._timeout_ms, header, caller_seconds))

    async def infer(self, call: Call, route: Route, value: bytes, patience: Patience) -> bytes | None:
        """See `Exchange.ask`; raises Unavailable at once when a model that the answer needs is not there.

        None for a pipeline without an output: Kafka has the request, and nothing will answer.
        """
        resource = route.resource
        if resource.kind is Kind.PIPELINE and not self._pipelines.answers(resource.name):
            await self._exchange.hand_over(call, route, value, patience)
            return None
        # Found again, because a pipeline that was deleted meanwhile still answers those who came before.
        models = self._pipelines.needed(resource.name) if resource.kind is Kind.PIPELINE else (resource.name,)
        if self._steps.in_doubt(models):
            await self._steps_usable(call, resource, models, patience)
        return await self._exchange.ask(call, route, value, patience)

    async def _steps_usable(self, call: Call, resource: Resource, models: Sequence[str], patience: Patience) -> None:
        try:
            async with patience:
                await self._steps.usable(models, str(resource), _onward(call))
        except TimeoutError:
            if patience.caller_gone:
                raise CallerGone from None
            waited = f"within {patience.seconds * 1000:.0f} ms"
            coming = ", ".join(f"step {each} {why}" for each, why in self._steps.in_doubt(models).items())
            raise DeadlineExceeded(f"{resource} gave no answer {waited}: {coming}") from None

    async def not_ready(self, resource: Resource, call: Call) -> list[str]:
        """The models that stand in the way. Raises NotFound for an unknown pipeline."""
        names = [resource.name]
        if resource.kind is Kind.PIPELINE:
            names = [step.model for step in self._pipelines.definition(resource.name).steps]
        return await self._behind.not_ready(names, _onward(call))

    async def metadata(self, resource: Resource, call: Call) -> dict[str, Any]:
        """In its JSON form. Raises NotFound."""
        headers = _onward(call)
        if resource.kind is Kind.MODEL:
            found = await self._behind.metadata([resource.name], headers)
            if resource.name not in found:
                raise NotFound(f"{resource} tells nothing about itself: it is not loaded or does not answer")
            return found[resource.name]
        definition = self._pipelines.definition(resource.name)
        models = await self._behind.metadata([step.model for step in definition.steps], headers)
        return describe(definition, models)


def timeout_header(received: Iterable[Header]) -> str | None:
    """The last one wins."""
    found = None
    for name, value in received:
        if name == HEADER_TIMEOUT:
            found = value.decode("latin-1")
    return found


def _onward(call: Call) -> dict[str, str]:
    """What says on whose behalf others are asked, fit for header lines."""
    headers = {HEADER_REQUEST_ID: call.request_id.decode(errors="replace"), **call.trace_headers()}
    return {name: "".join(filter(str.isprintable, value)) for name, value in headers.items()}
