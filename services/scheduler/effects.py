"""What a step asks the outside to do. The engine carries effects out in order."""

from dataclasses import dataclass

from services.scheduler.routing import Plan
from services.scheduler.state import ReplicaKey, VersionKey


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
    """Give Envoy a new plan; the answer comes back as `Control.routes_acked` or `routes_rejected`."""

    model: str
    plan: Plan
    revision: int


@dataclass(frozen=True, slots=True)
class SaveModel:
    """Write the desired state of a model to disk; forget it when the state no longer has it."""

    model: str


@dataclass(frozen=True, slots=True)
class SaveServer:
    """Write a server's bounds and its known replicas to disk; forget it when the state no longer has it."""

    server: str


@dataclass(frozen=True, slots=True)
class ModelChanged:
    """Tell subscribers."""

    model: str


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """Tell subscribers, at most once in a while."""

    server: str


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The known replicas have reported, or the settling time is over: Envoy may be served."""


Effect = SendLoad | SendUnload | PublishRoutes | SaveModel | SaveServer | ModelChanged | ServerChanged | BecameReady
