"""Wires the dataflow engine: Kafka first, then the scheduler, probes from the beginning."""

import asyncio
import contextlib
from functools import partial

from services.dataflow.control.operations import Operations
from services.dataflow.control.scheduler_link import SchedulerLink
from services.dataflow.core.valve import Valve
from services.dataflow.kafka.pipelines import Pipelines
from services.dataflow.settings import DataflowSettings
from shared.http_server import HttpServer
from shared.kafka.clients import KafkaClients
from shared.logs import logger
from shared.probes import Readiness, probe_app
from shared.process import until_stopped
from shared.tracing.tracer import Tracer, tracing
from shared.version import VERSION

_log = logger("app")


async def run(settings: DataflowSettings) -> None:
    """Work until SIGTERM or SIGINT. Raises InvalidInput for wrong settings, Unavailable for a lost log."""
    await until_stopped(_serve(settings))


async def _serve(settings: DataflowSettings) -> None:
    readiness = Readiness(["kafka", "scheduler"])

    async with contextlib.AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(tracing("seldon-dataflow", settings.tracing(), settings.name))
        probes = probe_app("dataflow", readiness)
        await stack.enter_async_context(HttpServer(probes, settings.host, settings.health_port))
        _log.info("started", version=VERSION, name=settings.name, health_port=settings.health_port)
        clients = KafkaClients(settings.kafka_config())
        await clients.start(partial(readiness.report, "kafka"))
        stack.push_async_callback(clients.stop)
        await _work(settings, clients, readiness, tracer)


async def _work(settings: DataflowSettings, clients: KafkaClients, readiness: Readiness, tracer: Tracer) -> None:
    valve = Valve(settings.most_requests, settings.most_bytes)
    kafka = partial(readiness.report, "kafka")
    pipelines = Pipelines(settings.name, clients, settings.join_window_ms, kafka, tracer, valve)
    target = f"{settings.upstream_host}:{settings.upstream_port}"
    link = SchedulerLink(target, settings.name, partial(readiness.report, "scheduler"))
    operations = Operations(pipelines, link.report)
    flowing = asyncio.create_task(pipelines.run(), name="pipelines")
    following = asyncio.create_task(link.run(operations.accept), name="scheduler link")
    try:
        await asyncio.wait((flowing, following), return_when=asyncio.FIRST_COMPLETED)
    finally:
        _log.info("stopping")
        following.cancel()
        await operations.close()
        if not flowing.done():
            await pipelines.close()
        flowing.cancel()
        results = await asyncio.gather(flowing, following, return_exceptions=True)
        await link.close()
    for result in results:
        if isinstance(result, Exception):
            raise result
