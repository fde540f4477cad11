"""The agent as a whole: makes the parts, starts them in an order that needs nobody else, and stops them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc.aio
from mlops.agent import agent_pb2
from mlops.agent_debug import agent_debug_pb2_grpc

from services.agent.control.debug_api import SERVICE as DEBUG_SERVICE
from services.agent.control.debug_api import DebugApi
from services.agent.control.scheduler_link import SchedulerLink
from services.agent.core.holdings import Holdings
from services.agent.core.inference_counts import OwnCounts
from services.agent.identity import identify, listen_host, reachable, replica_config
from services.agent.metrics.endpoint import AgentMetrics, MetricsApp
from services.agent.metrics.envoy_stats import EnvoyStats
from services.agent.models.lifecycle import Limits, Models
from services.agent.models.operations import Operations
from services.agent.models.state_files import StateFiles
from services.agent.proxy.cold_path import ColdPath
from services.agent.proxy.grpc import ReverseProxyGrpc
from services.agent.proxy.grpc import make_server as make_grpc_proxy
from services.agent.proxy.http import ReverseProxyHttp
from services.agent.repository.folders import Layout, Repository
from services.agent.repository.mlserver import MLServerLayout
from services.agent.repository.mlserver_settings import EnvoyAddress, parallel_workers
from services.agent.repository.triton import TritonLayout
from services.agent.server.client import InferenceServer
from services.agent.settings import AgentSettings
from services.agent.storage.artifacts import Artifacts
from services.agent.storage.rclone import Rclone
from services.agent.storage.remotes import RemotesFile
from shared import agent_metadata
from shared.errors import SeldonError
from shared.http_server import HttpServer
from shared.logs import logger
from shared.probes import Readiness, probe_app
from shared.rpc import bind
from shared.rpc import server as rpc_server
from shared.tracing.tracer import Tracer, tracing

_log = logger("agent")

_PARTS = ("inference-server", "scheduler", "reverse-proxy", "rclone")


class Agent:
    """One replica's agent. Raises InvalidInput when made from settings that contradict themselves."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._identity = identify(settings)
        self._config = replica_config(settings, self._identity)
        self._folder = Path(settings.agent_folder).resolve()
        self._listen = listen_host(settings.agent_host)
        self._inference_host = reachable(settings.inference_host)
        self.readiness = Readiness(_PARTS)
        self.holdings = Holdings(self._config.memoryBytes)
        self._metrics = AgentMetrics(
            self._identity.server_name,
            self._identity.replica_index,
            self._config.memoryBytes,
            self._config.overCommitPercentage,
        )
        self._compared = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            instance = f"{self._identity.server_name}-{self._identity.replica_index}"
            tracer = await stack.enter_async_context(tracing("seldon-agent", self._settings.tracing(), instance))
            rclone = Rclone(self._folder / "rclone-state")
            stack.callback(rclone.close)
            artifacts = Artifacts(self._folder / "rclone", rclone)
            repository = Repository(self._folder, self._layout())
            state_files = StateFiles(self._folder / "state")
            for part in (rclone, artifacts, repository, state_files):
                await asyncio.to_thread(part.prepare)
            server = InferenceServer(
                self._settings.server_type, self._inference_host, self._settings.inference_grpc_port, tracer
            )
            stack.push_async_callback(server.close)
            models = Models(
                self.holdings, artifacts, repository, state_files, server, self._metrics, self._limits(), tracer
            )
            stack.push_async_callback(models.close)
            await models.take_up()
            link = self._link(tracer)
            stack.push_async_callback(link.close)
            operations = Operations(models, link.send, self._settings.unload_grace_period_seconds, tracer)
            stack.push_async_callback(operations.close)
            await self._open_ports(stack, models, server, tracer)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_server(server, models, operations))
                tasks.create_task(self._follow_remotes(rclone))
                tasks.create_task(self._follow_scheduler(link, operations))

    def _layout(self) -> Layout:
        settings = self._settings
        if settings.server_type == "triton":
            return TritonLayout()
        tls = settings.envoy_security_protocol.upper() == "SSL"
        envoy = EnvoyAddress(reachable(settings.envoy_host), settings.envoy_port, tls)
        return MLServerLayout(envoy, parallel_workers(settings.mlserver_parallel_workers))

    def _limits(self) -> Limits:
        return Limits(
            load_attempts=self._settings.max_load_retry_count,
            load_seconds=self._settings.max_load_elapsed_time_minutes * 60.0,
            unload_attempts=self._settings.max_unload_retry_count,
            unload_seconds=self._settings.max_unload_elapsed_time_minutes * 60.0,
            server_load_seconds=self._settings.server_load_timeout_seconds,
            server_unload_seconds=self._settings.server_unload_timeout_seconds,
        )

    def _link(self, tracer: Tracer) -> SchedulerLink:
        settings = self._settings
        metadata = [
            (agent_metadata.INFERENCE_HTTP, f"{self._inference_host}:{settings.inference_http_port}"),
            (agent_metadata.INFERENCE_GRPC, f"{self._inference_host}:{settings.inference_grpc_port}"),
            (agent_metadata.SERVER_TYPE, settings.server_type),
            (agent_metadata.LOAD_SECONDS, str(settings.max_load_elapsed_time_minutes * 60)),
            (agent_metadata.UNLOAD_SECONDS, str(settings.max_unload_elapsed_time_minutes * 60)),
        ]
        target = f"{reachable(settings.scheduler_host)}:{settings.scheduler_port}"
        return SchedulerLink(target, metadata, partial(self.readiness.report, "scheduler"), tracer)

    async def _open_ports(
        self, stack: contextlib.AsyncExitStack, models: Models, server: InferenceServer, tracer: Tracer
    ) -> None:
        settings, host = self._settings, self._listen
        await stack.enter_async_context(HttpServer(probe_app("agent", self.readiness), host, settings.readiness_port))
        own_counts = OwnCounts()
        await stack.enter_async_context(HttpServer(self._metrics_app(stack, own_counts), host, settings.metrics_port))
        cold_path = ColdPath(models, server, settings.cold_wait_seconds)
        base_url = f"http://{self._inference_host}:{settings.inference_http_port}"
        rest = ReverseProxyHttp(base_url, self.holdings, cold_path, own_counts, tracer=tracer)
        stack.push_async_callback(rest.close)
        await stack.enter_async_context(HttpServer(rest, host, settings.reverse_proxy_http_port))
        grpc_proxy = make_grpc_proxy(ReverseProxyGrpc(server, self.holdings, cold_path, own_counts, tracer))
        await stack.enter_async_context(_listening(grpc_proxy, host, settings.reverse_proxy_grpc_port))
        debug = rpc_server([DEBUG_SERVICE])
        agent_debug_pb2_grpc.add_AgentDebugServiceServicer_to_server(DebugApi(self.holdings), debug)
        await stack.enter_async_context(_listening(debug, host, settings.debug_grpc_port))
        self.readiness.satisfied("reverse-proxy")

    def _metrics_app(self, stack: contextlib.AsyncExitStack, own_counts: OwnCounts) -> MetricsApp:
        settings, identity = self._settings, self._identity
        base_url = f"http://{reachable(settings.envoy_host)}:{settings.envoy_control_port}"
        envoy = EnvoyStats(base_url, identity.server_name, identity.replica_index)
        stack.push_async_callback(envoy.close)
        return MetricsApp(self._metrics, own_counts, envoy)

    async def _follow_server(self, server: InferenceServer, models: Models, operations: Operations) -> None:
        """Each time the server is there anew, bring it in line with what is held."""
        self.readiness.waiting("inference-server", f"{server.kind} at {server.target} does not answer")
        async with asyncio.TaskGroup() as tasks:
            recovery: asyncio.Task[None] | None = None
            async for alive in server.lifetimes():
                if recovery is not None:
                    recovery.cancel()
                if alive:
                    self.readiness.satisfied("inference-server")
                    recovery = tasks.create_task(self._recover(models, operations))
                else:
                    _log.warning("connection to the inference server lost", server=server.target)
                    self.readiness.waiting("inference-server", f"{server.kind} at {server.target} went away")
                    models.server_lost()

    async def _recover(self, models: Models, operations: Operations) -> None:
        while True:
            try:
                lost = await models.reconcile()
                break
            except (SeldonError, OSError) as error:
                _log.error("comparison with the inference server failed", reason=str(error))
                await asyncio.sleep(1.0)
        self._compared.set()
        await models.restore(lost, operations.reload_failed)

    async def _follow_remotes(self, rclone: Rclone) -> None:
        remotes = RemotesFile(Path(self._settings.config_path), rclone)
        while True:
            try:
                _log.info("rclone found", version=await rclone.version())
                break
            except (SeldonError, TimeoutError, OSError) as error:
                self.readiness.waiting("rclone", str(error) or "it does not answer")
                await asyncio.sleep(5.0)
        await remotes.apply()
        self.readiness.satisfied("rclone")
        await remotes.follow()

    async def _follow_scheduler(self, link: SchedulerLink, operations: Operations) -> None:
        # Before that, nobody knows what this replica can serve.
        await self._compared.wait()
        await link.run(self._registration, operations.accept)

    def _registration(self) -> agent_pb2.AgentSubscribeRequest:
        return agent_pb2.AgentSubscribeRequest(
            serverName=self._identity.server_name,
            replicaIdx=self._identity.replica_index,
            shared=True,
            replicaConfig=self._config,
            loadedModels=[held.definition for held in self.holdings if held.announced],
            availableMemoryBytes=self.holdings.available_bytes,
        )


@contextlib.asynccontextmanager
async def _listening(server: grpc.aio.Server, host: str, port: int) -> AsyncIterator[None]:
    bind(server, host, port)
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=0.5)
