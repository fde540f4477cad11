"""AgentDebugService: what this replica holds, for people who look for the reason of something."""

from typing import Any

from mlops.agent_debug import agent_debug_pb2, agent_debug_pb2_grpc

from services.agent.core.holdings import Holdings

SERVICE = agent_debug_pb2.DESCRIPTOR.services_by_name["AgentDebugService"].full_name


class DebugApi(agent_debug_pb2_grpc.AgentDebugServiceServicer):
    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    async def ReplicaStatus(self, request: Any, context: Any) -> agent_debug_pb2.ReplicaStatusResponse:
        models = []
        for held in self._holdings:
            state = agent_debug_pb2.ModelReplicaState(
                name=held.internal,
                state=agent_debug_pb2.ModelReplicaState.InMemory
                if held.in_memory
                else agent_debug_pb2.ModelReplicaState.Evicted,
            )
            state.lastAccessed.FromSeconds(held.last_used)
            models.append(state)
        return agent_debug_pb2.ReplicaStatusResponse(availableMemoryBytes=self._holdings.available_bytes, models=models)
