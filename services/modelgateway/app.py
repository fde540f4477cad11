"""Wires the model gateway: probes from the beginning, then Kafka, then the scheduler."""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from services.modelgateway.commits import Commits
from services.modelgateway.core.memory import Memory
from services.modelgateway.gateway import Gateway
from services.modelgateway.inference import Inference
from services.modelgateway.metrics import GatewayMetrics
from services.modelgateway.models import Models
from services.modelgateway.outputs import Outputs
from services.modelgateway.scheduler_link import SchedulerLink
from services.modelgateway.settings import ModelGatewaySettings
from shared.beside import Beside
from shared.http_server import HttpServer
from shared.kafka.clients import KafkaClients
from shared.logs import logger
from shared.probes import Readiness, probe_app
from shared.process import until_stopped
from shared.tracing.tracer import Tracer, tracing
from shared.version import VERSION

_log = logger("app")


async def run(settings: ModelGatewaySettings) -> None:
    """Work until SIGTERM or SIGINT. Raises InvalidInput for wrong settings, Unavailable for a lost log."""
    await until_stopped(serve(settings, GatewayMetrics()))


async def serve(settings: ModelGatewaySettings, metrics: GatewayMetrics) -> None:
    """Work until cancelled; raises as `run` does."""
    readiness = Readiness(["kafka", "scheduler"])
    clients = KafkaClients(settings.kafka_config())
    async with contextlib.AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(tracing("seldon-modelgateway", settings.tracing(), settings.pod_name))
        probes = probe_app("modelgateway", readiness)
        await stack.enter_async_context(HttpServer(probes, settings.host, settings.health_port))
        _log.info("started", version=VERSION, name=settings.pod_name, health_port=settings.health_port)
        kafka = partial(readiness.report, "kafka")
        await clients.start(kafka)
        stack.push_async_callback(clients.stop)
        await _work(settings, clients, metrics, tracer, kafka, partial(readiness.report, "scheduler"))


async def _work(
    settings: ModelGatewaySettings,
    clients: KafkaClients,
    metrics: GatewayMetrics,
    tracer: Tracer,
    kafka: Callable[[str], None],
    scheduler: Callable[[str], None],
) -> None:
    envoy = f"{settings.envoy_host}:{settings.envoy_port}"
    inference = Inference(envoy, settings.worker_timeout_ms / 1000, metrics)
    memory = Memory(settings.max_held_bytes)
    metrics.memory(memory)
    beside = Beside()
    gateway = Gateway(clients, inference, Outputs(clients, metrics, kafka), memory, beside, metrics, tracer)
    commits = Commits(clients, metrics, kafka)
    models = Models(
        settings.pod_name, settings.num_workers, settings.max_num_consumers, clients, gateway, commits, metrics
    )
    target = f"{settings.scheduler_host}:{settings.scheduler_port}"
    link = SchedulerLink(target, settings.pod_name, models, scheduler)
    tasks = [
        asyncio.create_task(gateway.run(), name="reading"),
        asyncio.create_task(commits.run(lambda: list(gateway.feeds)), name="committing"),
        asyncio.create_task(link.run(), name="scheduler link"),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        _log.info("stopping")
        for task in tasks:
            task.cancel()
        failures = [
            each for each in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(each, Exception)
        ]
        await link.close()
        await models.close(orderly=not failures)
        await inference.close()
        await beside.close()
    if failures:
        raise failures[0]
