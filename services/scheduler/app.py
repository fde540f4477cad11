"""Wires the scheduler: four gRPC ports, one HTTP port, one store, one engine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import grpc.aio
from mlops.agent import agent_pb2_grpc
from mlops.chainer import chainer_pb2_grpc
from mlops.health import health_pb2_grpc
from mlops.scheduler import scheduler_pb2_grpc

from services.scheduler.api.health import HealthService
from services.scheduler.api.http import http_app
from services.scheduler.api.service import SchedulerService
from services.scheduler.engine import Engine
from services.scheduler.envoy.server import SERVICE as XDS_SERVICE
from services.scheduler.envoy.server import XdsServer
from services.scheduler.peers.agents import AgentService
from services.scheduler.peers.engines import ChainerService
from services.scheduler.settings import SchedulerSettings
from services.scheduler.sharing import Sharing
from services.scheduler.store.database import Store
from shared import rpc
from shared.http_server import HttpServer
from shared.logs import logger
from shared.probes import Readiness
from shared.process import stop_requested
from shared.rpc_tracing import traced
from shared.tracing.tracer import Tracer, tracing
from shared.version import VERSION

_SCHEDULER: Final = "seldon.mlops.scheduler.Scheduler"
_AGENTS: Final = "seldon.mlops.agent.AgentService"
_CHAINER: Final = "seldon.mlops.chainer.Chainer"
_HEALTH: Final = "seldon.mlops.health.HealthCheckService"
_STOP_GRACE: Final = 1.0
"""Seconds for calls in flight when the process is asked to stop; subscriptions are simply ended."""
_log = logger("app")


async def run(settings: SchedulerSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = stop_requested()
    store = Store(settings.db_path / "scheduler.db")
    try:
        await serve(settings, store, stopping)
    finally:
        store.close()


async def serve(settings: SchedulerSettings, store: Store, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set. Raises InvalidInput for wrong settings of tracing or Kafka."""
    async with tracing("seldon-scheduler", settings.tracing()) as tracer:
        await _serve(settings, store, stopping, tracer)


async def _serve(settings: SchedulerSettings, store: Store, stopping: asyncio.Event, tracer: Tracer) -> None:
    xds = XdsServer()
    engine = Engine(store, xds, _sharing(settings), settings.connect_retry_seconds)
    readiness = Readiness(["replicas", "store"])
    readiness.satisfied("store")
    store.watchers.append(lambda: readiness.report("store", store.problem))

    api_server = rpc.server([_SCHEDULER, _HEALTH], interceptors=traced(tracer))
    gateway_ports = settings.pipeline_gateway_http_port, settings.pipeline_gateway_grpc_port
    scheduler_pb2_grpc.add_SchedulerServicer_to_server(SchedulerService(engine, gateway_ports), api_server)
    agent_server = rpc.server([_AGENTS, _HEALTH], interceptors=traced(tracer))
    agent_pb2_grpc.add_AgentServiceServicer_to_server(AgentService(engine), agent_server)
    dataflow_server = rpc.server([_CHAINER, _HEALTH], interceptors=traced(tracer))
    chainer_pb2_grpc.add_ChainerServicer_to_server(ChainerService(engine), dataflow_server)
    for made in (api_server, agent_server, dataflow_server):
        health_pb2_grpc.add_HealthCheckServiceServicer_to_server(HealthService(), made)
    xds_server = rpc.server([XDS_SERVICE])
    xds.add_to(xds_server)

    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(HttpServer(http_app(engine, readiness), settings.host, settings.health_port))
        servers = {
            settings.scheduler_port: api_server,
            settings.agent_port: agent_server,
            settings.dataflow_port: dataflow_server,
            settings.xds_port: xds_server,
        }
        for port, server in servers.items():
            await stack.enter_async_context(_listening(server, settings.host, port))
        _log.info("started", version=VERSION, ports=sorted(servers), http_port=settings.health_port)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(engine.run(settings.settle_seconds), name="engine")
            reporting = tasks.create_task(_report_readiness(engine, readiness), name="readiness")
            await stopping.wait()
            engine.close()
            running.cancel()
            reporting.cancel()
        _log.info("stopping")


def _sharing(settings: SchedulerSettings) -> Sharing:
    """Of the Kafka settings, only names matter here: the scheduler itself never talks to a broker."""
    kafka = settings.kafka_config()
    return Sharing(
        topics=kafka.topics,
        groups=kafka.groups,
        owners_per_key=settings.shard_count_multiplier(),
        model_consumers=settings.model_consumers,
        pipeline_consumers=settings.pipeline_consumers,
    )


async def _report_readiness(engine: Engine, readiness: Readiness) -> None:
    while not engine.ready.is_set():
        awaited = sorted(f"{key.server}/{key.replica}" for key in engine.control.awaited)
        readiness.waiting("replicas", f"agents not back yet: {', '.join(awaited)}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await engine.ready.wait()
    readiness.satisfied("replicas")


@contextlib.asynccontextmanager
async def _listening(server: grpc.aio.Server, host: str, port: int) -> AsyncIterator[None]:
    rpc.bind(server, host, port)
    await server.start()
    try:
        yield
    finally:
        await server.stop(_STOP_GRACE)
