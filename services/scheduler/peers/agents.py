"""The `AgentService` gRPC service: agents register here, take instructions, and report results."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

from mlops.agent import agent_pb2 as pb
from mlops.agent import agent_pb2_grpc

from services.scheduler import metrics
from services.scheduler.core.models.inventory import Announced
from services.scheduler.core.state import SERVING, Address, Replica, ReplicaKey, VersionKey
from services.scheduler.engine import Engine
from services.scheduler.links.link import Link
from services.scheduler.peers.addresses import ended_when_moved, parse_address, resolve
from shared import agent_metadata, timing
from shared.errors import InvalidInput, NotImplementedYet, RejectedRequest
from shared.logs import logger
from shared.names import validate_name

DRAIN_SECONDS: Final = 100.0
"""Longest wait of a draining replica; below the 120 s after which its pod is killed."""
_DRAIN_POLL_SECONDS: Final = 0.25
_log = logger("agents")


class AgentService(agent_pb2_grpc.AgentServiceServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def Subscribe(
        self, request: pb.AgentSubscribeRequest, context: Any
    ) -> AsyncIterator[pb.ModelOperationMessage]:
        """Lasts as long as the agent lives. A second subscription for the same replica takes over from the first."""
        validate_name("server", request.serverName)
        held = [_announced(entry) for entry in request.loadedModels]
        key = ReplicaKey(request.serverName, request.replicaIdx)
        session = self._engine.new_session()
        metadata = dict(context.invocation_metadata())
        replica = await _replica(request, metadata, session)
        link = Link[pb.ModelOperationMessage]()
        self._engine.attach_agent(key, link)
        try:
            await self._engine.apply(
                lambda now: self._engine.control.agent_connected(key, replica, request.shared, held, now)
            )
            # Tells the agent that it is registered, also when there is nothing to load for a long time.
            await context.send_initial_metadata(())
            peer = context.peer()
            _log.info("agent registered", server=key.server, replica=key.replica, models=len(held), peer=peer)
            async with ended_when_moved(link, _told(request, metadata, replica)):
                async for message in link.instructions():
                    yield message
        finally:
            self._engine.detach_agent(key, link)
            self._engine.apply(lambda now: self._engine.control.agent_gone(key, session, now))
            _log.info("agent left", server=key.server, replica=key.replica)

    async def AgentEvent(self, request: pb.ModelEventMessage, context: Any) -> pb.ModelEventResponse:
        validate_name("model", request.modelName)
        where = ReplicaKey(request.serverName, request.replicaIdx)
        key = VersionKey(request.modelName, request.modelVersion)
        free, control = request.availableMemoryBytes, self._engine.control
        event = pb.ModelEventMessage.Event.Name(request.event)
        metrics.AGENT_EVENTS.labels(event).inc()
        info = request.runtimeInfo if request.HasField("runtimeInfo") else None
        if event == "LOADED":
            await self._engine.apply(lambda now: control.loaded(where, key, free, info, now))
        elif event in ("LOAD_FAILED", "LOAD_FAIL_MEMORY"):
            await self._engine.apply(lambda now: control.load_failed(where, key, free, request.message, now))
        elif event == "UNLOADED":
            await self._engine.apply(lambda now: control.unloaded(where, key, free, now))
        elif event == "UNLOAD_FAILED":
            await self._engine.apply(lambda now: control.unload_failed(where, key, free, request.message, now))
        else:
            fix = "one of LOADED, LOAD_FAILED, LOAD_FAIL_MEMORY, UNLOADED, UNLOAD_FAILED"
            raise InvalidInput.of_field("event", event, fix)
        return pb.ModelEventResponse()

    async def AgentDrain(self, request: pb.AgentDrainRequest, context: Any) -> pb.AgentDrainResponse:
        """Blocks until the replica's models answer elsewhere; those that have no other place to go are not waited for.

        False when time ran out while some were still on their way.
        """
        key = ReplicaKey(request.serverName, request.replicaIdx)
        await self._engine.apply(lambda now: self._engine.control.drain_replica(key, now))
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if not self._on_their_way(key):
                return pb.AgentDrainResponse(success=True)
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        return pb.AgentDrainResponse(success=False)

    def _on_their_way(self, key: ReplicaKey) -> list[str]:
        """Models that answer here until they do elsewhere, where they have been placed."""
        unplaced = self._engine.control.state.unplaced
        return [name for name in self._still_serves(key) if name not in unplaced]

    def _still_serves(self, key: ReplicaKey) -> list[str]:
        state = self._engine.control.state
        replica = state.replica(key)
        serving = []
        for version_key in replica.copies if replica else ():
            version = state.version(version_key)
            if version is not None and version.replicas[key.replica].state in SERVING:
                serving.append(version_key.model)
        return serving

    async def ModelScalingTrigger(self, request_iterator: Any, context: Any) -> pb.ModelScalingTriggerResponse:
        raise NotImplementedYet("model autoscaling is off")


async def _replica(request: pb.AgentSubscribeRequest, metadata: Mapping[str, str | bytes], session: int) -> Replica:
    config = request.replicaConfig
    agent = await resolve(config.inferenceSvc, config.inferenceHttpPort, config.inferenceGrpcPort)
    return Replica(
        agent=agent,
        inference=await _inference_address(metadata),
        server_type=str(metadata.get(agent_metadata.SERVER_TYPE, "")),
        capabilities=frozenset(capability.strip() for capability in config.capabilities),
        total_bytes=config.memoryBytes,
        available_bytes=request.availableMemoryBytes,
        overcommit_percentage=config.overCommitPercentage,
        session=session,
        load_patience=timing.load_patience(
            _seconds(metadata, agent_metadata.LOAD_SECONDS, timing.AGENT_LOAD),
            _seconds(metadata, agent_metadata.UNLOAD_SECONDS, timing.AGENT_UNLOAD),
        ),
        unload_patience=timing.unload_patience(_seconds(metadata, agent_metadata.UNLOAD_SECONDS, timing.AGENT_UNLOAD)),
    )


def _seconds(metadata: Mapping[str, str | bytes], key: str, otherwise: float) -> float:
    """How long the agent allows itself, when it says so. Raises InvalidInput for anything but a whole number."""
    value = metadata.get(key)
    if value is None:
        return otherwise
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        raise InvalidInput.of_field(key, value, "a whole number of seconds")
    return float(value)


def _told(
    request: pb.AgentSubscribeRequest, metadata: Mapping[str, str | bytes], replica: Replica
) -> Iterator[tuple[str, Address]]:
    yield request.replicaConfig.inferenceSvc, replica.agent
    if replica.inference is not None:
        yield (
            parse_address(agent_metadata.INFERENCE_HTTP, str(metadata[agent_metadata.INFERENCE_HTTP]))[0],
            replica.inference,
        )


async def _inference_address(metadata: Mapping[str, str | bytes]) -> Address | None:
    """The inference server's own address. An agent that does not tell it carries all the traffic itself."""
    http, grpc = metadata.get(agent_metadata.INFERENCE_HTTP), metadata.get(agent_metadata.INFERENCE_GRPC)
    if not isinstance(http, str) or not isinstance(grpc, str):
        return None
    host, http_port = parse_address(agent_metadata.INFERENCE_HTTP, http)
    grpc_host, grpc_port = parse_address(agent_metadata.INFERENCE_GRPC, grpc)
    if host != grpc_host:
        raise RejectedRequest(f"inference server has two hosts, {host} and {grpc_host}: announce one")
    return await resolve(host, http_port, grpc_port)


def _announced(entry: pb.ModelVersion) -> Announced:
    validate_name("model", entry.model.meta.name)
    return Announced(VersionKey(entry.model.meta.name, entry.version), entry.model)
