"""What a step asks the outside to do. The engine carries effects out in order."""

from dataclasses import dataclass

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members import rounds
from services.scheduler.core.members.fleet import Kind
from services.scheduler.core.routing import Plan
from services.scheduler.core.state import ReplicaKey, VersionKey


@dataclass(frozen=True, slots=True)
class SendLoad:
    """Tell the agent to load a version."""

    to: ReplicaKey
    version: VersionKey


@dataclass(frozen=True, slots=True)
class SendUnload:
    """Tell the agent to unload a version."""

    to: ReplicaKey
    version: VersionKey


@dataclass(frozen=True, slots=True)
class PublishRoutes:
    """Give Envoy a new plan for a value of the header `seldon-model`; its answer comes back to `Core.routed`."""

    scope: str
    plan: Plan
    revision: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a gateway or dataflow engine its instruction about a resource; `pipeline` is the version concerned."""

    kind: Kind
    resource: str
    instruction: rounds.Instruction
    pipeline: pb.Pipeline | None = None


@dataclass(frozen=True, slots=True)
class SaveModel:
    """Write the desired state of a model to disk; forget it when the state no longer has it."""

    model: str


@dataclass(frozen=True, slots=True)
class SaveServer:
    """Write a server's bounds and its known replicas to disk; forget it when the state no longer has it."""

    server: str


@dataclass(frozen=True, slots=True)
class SavePipeline:
    """Write the desired state of a pipeline to disk; forget it when the state no longer has it."""

    pipeline: str


@dataclass(frozen=True, slots=True)
class SaveMembers:
    """Write down which members of a kind are to be waited for after a restart."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class ModelChanged:
    """Tell subscribers."""

    model: str


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """Tell subscribers, at most once in a while."""

    server: str


@dataclass(frozen=True, slots=True)
class PipelineChanged:
    """Tell subscribers, unless it looks the same as when they were last told."""

    pipeline: str


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The known replicas have reported, or the settling time is over: Envoy may be served."""


Instruction = SendLoad | SendUnload | Tell
"""To an agent, a gateway or an engine: carried out when what it follows from is on disk."""

Effect = (
    Instruction
    | PublishRoutes
    | SaveModel
    | SaveServer
    | SavePipeline
    | SaveMembers
    | ModelChanged
    | ServerChanged
    | PipelineChanged
    | BecameReady
)
