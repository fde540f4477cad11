"""The pipeline gateway as a whole: makes the parts, starts them in any order the others come, and stops them."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

from services.pipelinegateway.answer_topics import AnswerTopics
from services.pipelinegateway.core.admission import Admission
from services.pipelinegateway.core.model_states import ModelStates
from services.pipelinegateway.exchange import Exchange
from services.pipelinegateway.gateway import Gateway
from services.pipelinegateway.grpc_api import GrpcApi, make_server
from services.pipelinegateway.http_api import RestApi
from services.pipelinegateway.metrics import GatewayMetrics
from services.pipelinegateway.models import Models
from services.pipelinegateway.models_behind import ModelsBehind
from services.pipelinegateway.models_link import ModelsLink
from services.pipelinegateway.pipelines import Pipelines
from services.pipelinegateway.scheduler_link import SchedulerLink
from services.pipelinegateway.settings import PipelineGatewaySettings
from services.pipelinegateway.steps import Steps
from services.pipelinegateway.waiting import Waiting
from shared import gateway_metadata
from shared.beside import Beside
from shared.errors import Unavailable
from shared.http_server import HttpServer
from shared.kafka.clients import KafkaClients
from shared.logs import logger
from shared.probes import Readiness, probe_app
from shared.rpc import bind
from shared.tracing.tracer import OFF, Tracer, tracing
from shared.version import VERSION
from shared.xid import Xids

_log = logger("pipelinegateway")

_PARTS: Final = ("kafka", "scheduler")
_LEAVE_SECONDS: Final = 2.0
"""Between telling the scheduler that this gateway leaves and taking no more requests."""
_DRAIN_SECONDS: Final = 5.0
_LAST_ANSWERS_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 75
"""Longer than proxies keep an idle connection as a rule, so that it is never closed under a request."""
_Result = TypeVar("_Result")


async def run(settings: PipelineGatewaySettings, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set. Raises InvalidInput for wrong settings, Unavailable as `PipelineGateway.run`."""
    async with tracing("seldon-pipelinegateway", settings.tracing(), settings.pod_name) as tracer:
        await PipelineGateway(settings, tracer=tracer).run(stopping)


class PipelineGateway:
    """One process's gateway. Raises InvalidInput when made from settings that are wrong."""

    def __init__(
        self, settings: PipelineGatewaySettings, metrics: GatewayMetrics | None = None, tracer: Tracer = OFF
    ) -> None:
        self._settings = settings
        config = settings.kafka_config()
        self.readiness = Readiness(_PARTS)
        self._metrics = metrics or GatewayMetrics()
        ids = Xids(secrets.randbits(64), secrets.randbits(24))
        self.waiting = Waiting(ids)
        admission = Admission(settings.max_in_flight, settings.max_in_flight_bytes, self._metrics.refused)
        self._metrics.in_flight(self.waiting, admission)
        self._kafka = KafkaClients(config)
        answers = AnswerTopics(self._kafka.reader)
        self._pipelines = Pipelines(config.topics, self._kafka.topics, answers)
        self._models = Models(config.topics, self._kafka.topics, answers)
        self._exchange = Exchange(
            self._kafka, self.waiting, self._metrics, tracer, partial(self.readiness.report, "kafka")
        )
        self._behind = ModelsBehind(f"http://{settings.envoy_host}:{settings.envoy_port}")
        self._beside = Beside()
        self._states = ModelStates()
        self._steps = Steps(self._states, self._behind)
        self._gateway = Gateway(
            ids,
            self._pipelines,
            self._models,
            self._exchange,
            self._behind,
            self._steps,
            settings.timeout_ms,
            admission,
            self._beside,
            config.message_max_bytes,
            tracer,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set. Raises Unavailable when Kafka has lost what was written to it."""
        settings = self._settings
        async with contextlib.AsyncExitStack() as stack:
            for port in filter(None, (settings.metrics_port, settings.health_port)):
                probes = HttpServer(probe_app("pipelinegateway", self.readiness), settings.host, port)
                await stack.enter_async_context(probes)
            stack.push_async_callback(self._behind.close)
            stack.push_async_callback(self._beside.close)
            stack.push_async_callback(self._kafka.stop)
            link = self._link()
            stack.push_async_callback(link.close)
            models = ModelsLink(_scheduler(settings), settings.pod_name, self._states, self._steps.changed)
            stack.push_async_callback(models.close)
            await stack.enter_async_context(_running(models.run()))
            # Work goes on while the servers stop: answers still come in meanwhile.
            work = await stack.enter_async_context(_running(self._work(link)))
            await stack.enter_async_context(self._serving())
            _log.info("started", version=VERSION, http_port=settings.http_port, grpc_port=settings.grpc_port)
            asked = await stack.enter_async_context(_running(stopping.wait()))
            await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
            link.leave()
            if work.done():
                self._close("it has to start anew")
                self.waiting.fail_all(Unavailable("the pipeline gateway has to start anew: ask again"))
                await work
            # Callers still come until another gateway has been given the pipelines and Envoy leads them there.
            await asyncio.wait((work,), timeout=_LEAVE_SECONDS)
            self._close("it is stopping")
        _log.info("stopped")

    def _close(self, reason: str) -> None:
        self._gateway.closed = reason
        self.readiness.waiting("kafka", reason)

    async def _work(self, link: SchedulerLink) -> None:
        """All that goes on beside the calls. The scheduler learns of this gateway once it can do its work."""
        await self._kafka.start(self._kafka_missing, partial(self.readiness.report, "kafka"))
        async with contextlib.AsyncExitStack() as stack:
            parts = (self._exchange.read_answers(), self._models.forget_idle(), link.run())
            tasks = [await stack.enter_async_context(_running(part)) for part in parts]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                await task

    def _kafka_missing(self, missing: str) -> None:
        self._gateway.closed = missing
        self.readiness.report("kafka", missing)

    def _link(self) -> SchedulerLink:
        settings = self._settings
        metadata = [
            (gateway_metadata.HTTP_PORT, str(settings.http_port)),
            (gateway_metadata.GRPC_PORT, str(settings.grpc_port)),
        ]
        return SchedulerLink(
            _scheduler(settings),
            settings.pod_name,
            settings.pod_ip,
            metadata,
            self._pipelines,
            partial(self.readiness.report, "scheduler"),
        )

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Both ports are open inside. At the end those in flight get some time, and then an answer that says why."""
        settings = self._settings
        rest = HttpServer(
            RestApi(self._gateway, self._metrics),
            settings.host,
            settings.http_port,
            grace_seconds=int(_DRAIN_SECONDS + _LAST_ANSWERS_SECONDS),
            idle_seconds=_IDLE_SECONDS,
        )
        grpc_server = make_server(GrpcApi(self._gateway, self._metrics))
        async with rest:
            bind(grpc_server, settings.host, settings.grpc_port)
            await grpc_server.start()
            try:
                yield
            finally:
                async with _running(self._fail_those_left()):
                    await asyncio.gather(rest.stop(), grpc_server.stop(_DRAIN_SECONDS + _LAST_ANSWERS_SECONDS))

    async def _fail_those_left(self) -> None:
        await asyncio.sleep(_DRAIN_SECONDS)
        self.waiting.fail_all(Unavailable("the pipeline gateway stopped before the answer came: ask again"))


def _scheduler(settings: PipelineGatewaySettings) -> str:
    return f"{settings.scheduler_host}:{settings.scheduler_port}"


@contextlib.asynccontextmanager
async def _running(coroutine: Coroutine[Any, Any, _Result]) -> "AsyncIterator[asyncio.Task[_Result]]":
    """A task that is cancelled at the end, and awaited."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))
