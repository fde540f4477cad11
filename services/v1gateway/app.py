"""The gateway as a whole: makes the parts, serves, and stops them."""

import asyncio
import contextlib
from typing import Final

import grpc

from services.v1gateway.destinations import Destinations
from services.v1gateway.gateway import Gateway
from services.v1gateway.grpc_api import make_server
from services.v1gateway.http_api import RestApi
from services.v1gateway.metrics import ExecutorMetrics
from services.v1gateway.settings import V1GatewaySettings
from shared.http_server import HttpServer
from shared.logs import logger
from shared.probes import Readiness
from shared.rpc import bind, channel
from shared.version import VERSION

_log = logger("v1gateway")
_DRAIN_SECONDS: Final = 5
_IDLE_SECONDS: Final = 75
"""Longer than proxies keep an idle connection as a rule, so that it is never closed under a request."""


async def run(settings: V1GatewaySettings, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set. Raises Unavailable when a port is taken."""
    readiness = Readiness(("envoy",))
    envoy = f"{settings.envoy_host}:{settings.envoy_port}"
    destinations = Destinations(envoy, settings.timeout_ms / 1000)
    gateway = Gateway(destinations, ExecutorMetrics(), settings.deployment)
    rest = HttpServer(
        RestApi(gateway, readiness, settings.max_body_bytes),
        settings.host,
        settings.http_port,
        grace_seconds=_DRAIN_SECONDS,
        idle_seconds=_IDLE_SECONDS,
    )
    calls = make_server(gateway)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(destinations.close)
        await stack.enter_async_context(rest)
        bind(calls, settings.host, settings.grpc_port)
        await calls.start()
        stack.push_async_callback(calls.stop, _DRAIN_SECONDS)
        watch = asyncio.create_task(_watch(envoy, readiness), name="envoy-watch")
        stack.callback(watch.cancel)
        _log.info("started", version=VERSION, http_port=settings.http_port, grpc_port=settings.grpc_port)
        await stopping.wait()
    _log.info("stopped")


async def _watch(envoy: str, readiness: Readiness) -> None:
    """Ready while Envoy can be reached."""
    async with channel(envoy) as connection:
        state = connection.get_state(try_to_connect=True)
        while True:
            up = state is grpc.ChannelConnectivity.READY
            readiness.report("envoy", "" if up else f"a connection to {envoy}")
            await connection.wait_for_state_change(state)
            state = connection.get_state(try_to_connect=True)
