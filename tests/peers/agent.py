"""An agent that loads everything at once into a server that has everything: for tests of what the scheduler does."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc.aio
from mlops.agent import agent_pb2 as pb
from mlops.agent import agent_pb2_grpc

from shared import agent_metadata

Verdict = Callable[[pb.ModelVersion], str]
"""Empty for a load that succeeds, else the reason why it does not."""


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class AgentPeer:
    """Registers as `server`/`replica` and answers every instruction. Memory in bytes."""

    scheduler: str
    http_port: int
    grpc_port: int
    server: str = "mlserver"
    replica: int = 0
    memory: int = 1_000_000_000
    capabilities: tuple[str, ...] = ("mlserver", "sklearn", "python")
    server_type: str = "mlserver"
    verdict: Verdict = lambda _: ""
    proxy_ports: tuple[int, int] | None = None
    """Where the agent's own proxy listens (HTTP, gRPC); the inference server's ports when None."""
    may_unload: asyncio.Event = field(default_factory=_set_event)
    """Clear it to keep every unload waiting."""
    held: dict[str, pb.ModelVersion] = field(default_factory=dict)
    unloaded: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something was unloaded."""
    history: list[tuple[str, str]] = field(default_factory=list)
    """(`load` or `unload`, internal name) in the order received."""

    async def run(self, registered: asyncio.Event | None = None) -> None:
        """Serve one subscription until it ends; `registered` is set when the scheduler has taken it."""
        async with grpc.aio.insecure_channel(self.scheduler) as channel:
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            inference = (
                (agent_metadata.INFERENCE_HTTP, f"127.0.0.1:{self.http_port}"),
                (agent_metadata.INFERENCE_GRPC, f"127.0.0.1:{self.grpc_port}"),
                (agent_metadata.SERVER_TYPE, self.server_type),
            )
            call = stub.Subscribe(self._registration(), metadata=inference, wait_for_ready=True)
            await call.initial_metadata()
            if registered is not None:
                registered.set()
            async for message in call:
                await self._carry_out(stub, message)

    async def run_for_ever(self, registered: asyncio.Event | None = None) -> None:
        """Register again whenever the subscription ends, as agents do."""
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self.run(registered)
            await asyncio.sleep(0.05)

    def _registration(self) -> pb.AgentSubscribeRequest:
        http_port, grpc_port = self.proxy_ports or (self.http_port, self.grpc_port)
        config = pb.ReplicaConfig(
            inferenceSvc="127.0.0.1",
            inferenceHttpPort=http_port,
            inferenceGrpcPort=grpc_port,
            memoryBytes=self.memory,
            capabilities=self.capabilities,
        )
        return pb.AgentSubscribeRequest(
            serverName=self.server,
            replicaIdx=self.replica,
            shared=True,
            replicaConfig=config,
            loadedModels=self.held.values(),
            availableMemoryBytes=self.free,
        )

    @property
    def free(self) -> int:
        return self.memory - sum(entry.model.modelSpec.memoryBytes for entry in self.held.values())

    async def _carry_out(self, stub: "agent_pb2_grpc.AgentServiceAsyncStub", message: pb.ModelOperationMessage) -> None:
        entry = message.modelVersion
        internal = f"{entry.model.meta.name}_{entry.version}"
        event, reason = pb.ModelEventMessage.UNLOADED, ""
        if message.operation == pb.ModelOperationMessage.LOAD_MODEL:
            self.history.append(("load", internal))
            reason = self.verdict(entry)
            event = pb.ModelEventMessage.LOAD_FAILED if reason else pb.ModelEventMessage.LOADED
            if not reason:
                self.held[internal] = entry
        else:
            await self.may_unload.wait()
            self.history.append(("unload", internal))
            self.held.pop(internal, None)
            self.unloaded.set()
        result = pb.ModelEventMessage(
            serverName=self.server,
            replicaIdx=self.replica,
            modelName=entry.model.meta.name,
            modelVersion=entry.version,
            event=event,
            message=reason,
            availableMemoryBytes=self.free,
        )
        await stub.AgentEvent(result)
