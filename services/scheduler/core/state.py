"""What the scheduler knows: desired models, observed servers, and the state of every copy of every version."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final, NamedTuple

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.memory import Memory
from services.scheduler.core.models.unplaced import Unplaced
from services.scheduler.core.routing import NO_ROUTE, RoutePlan
from services.scheduler.core.unloads import Unloads
from shared import timing
from shared.model_definition import required_bytes


class ReplicaState(StrEnum):
    """State of one copy of a model version on one server replica; the values are the names on the wire."""

    LOAD_REQUESTED = "LoadRequested"
    LOADING = "Loading"
    LOADED = "Loaded"
    AVAILABLE = "Available"
    LOADED_UNAVAILABLE = "LoadedUnavailable"
    DRAINING = "Draining"
    LOAD_FAILED = "LoadFailed"
    UNLOAD_ENVOY_REQUESTED = "UnloadEnvoyRequested"
    UNLOAD_REQUESTED = "UnloadRequested"
    UNLOADING = "Unloading"
    UNLOADED = "Unloaded"
    UNLOAD_FAILED = "UnloadFailed"


LOADING = frozenset({ReplicaState.LOAD_REQUESTED, ReplicaState.LOADING})
LOADED = frozenset({ReplicaState.LOADED, ReplicaState.AVAILABLE, ReplicaState.LOADED_UNAVAILABLE})
SERVING = LOADED | {ReplicaState.DRAINING}
"""Copies that can answer requests."""
LEAVING = frozenset({ReplicaState.UNLOAD_ENVOY_REQUESTED, ReplicaState.UNLOAD_REQUESTED, ReplicaState.UNLOADING})
GONE = frozenset({ReplicaState.LOAD_FAILED, ReplicaState.UNLOADED, ReplicaState.UNLOAD_FAILED})
"""Copies that hold nothing on their server any more, as far as the scheduler can tell."""


MAX_REPLICAS: Final = 2**31 - 1
"""Statuses carry replica counts and indexes as signed 32-bit numbers."""


class ReplicaKey(NamedTuple):
    """Identity of a server replica, and of the agent beside it."""

    server: str
    replica: int


class VersionKey(NamedTuple):
    """Identity of a model version."""

    model: str
    version: int


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """`since` and `due` are in seconds since the epoch."""

    state: ReplicaState
    since: float
    reason: str = ""
    told: int = 0
    """How often the agent was told without an answer."""
    due: float | None = None
    """When it is told again, or not waited for any more."""


@dataclass(slots=True)
class Retry:
    """Attempts at loading one version so far, why the last one failed, and when the next is due (epoch seconds)."""

    attempts: int = 0
    due: float | None = None
    failure: str = ""


@dataclass(slots=True)
class Version:
    """One version of a model: the definition it was made from and where its copies are."""

    number: int
    definition: pb.Model
    created: float
    server: str | None = None
    replicas: dict[int, ReplicaStatus] = field(default_factory=dict)
    placement_failure: ReplicaStatus | None = None
    """Why no place was found, with state LOAD_FAILED; None when placed."""
    retry: Retry = field(default_factory=Retry)
    runtime_info: pb.ModelRuntimeInfo | None = None

    def indexes(self, states: frozenset[ReplicaState]) -> list[int]:
        """Replica indexes whose copy is in one of `states`, ascending."""
        return sorted(index for index, status in self.replicas.items() if status.state in states)

    @property
    def needed_replicas(self) -> int:
        return self.definition.deploymentSpec.replicas

    @property
    def needed_bytes(self) -> int:
        """Memory on each replica."""
        return required_bytes(self.definition.modelSpec, self.runtime_info)

    @property
    def is_inactive(self) -> bool:
        return all(status.state in GONE for status in self.replicas.values())


@dataclass(slots=True)
class Orphan:
    """A copy that its agent holds beyond the books, and is to unload. Times are seconds since the epoch."""

    reason: str
    since: float
    told: int = 0
    """How often the agent was told since it last answered."""
    failures: int = 0
    due: float | None = None
    """When it is told again; None until it was told for the first time."""


@dataclass(slots=True)
class Model:
    """A named model. The latest version is the desired one; older ones exist only until they are unloaded."""

    name: str
    versions: dict[int, Version] = field(default_factory=dict)
    deleted_at: float | None = None
    published: RoutePlan = NO_ROUTE
    """The last plan given to Envoy; `revision` counts them."""
    revision: int = 0
    acked: bool = True
    """Every Envoy has taken the published plan."""
    route_error: str = ""
    """Why an Envoy refused the published plan; it then goes on with the one before."""
    route_due: float | None = None
    """When the published plan is offered again, unless every Envoy takes it before."""
    orphans: dict[tuple[ReplicaKey, int], Orphan] = field(default_factory=dict)
    """Copies, by place and version number, that nobody wants there: of versions that live on another server, or that
    were never asked for."""
    gateway: Deployment = field(default_factory=Deployment)
    """The model at the model gateways, which feed it from Kafka; loading it never waits for them."""

    @property
    def latest(self) -> Version:
        return self.versions[max(self.versions)]

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None

    def older(self) -> Iterator[Version]:
        """Versions before the latest, newest first."""
        for number in sorted(self.versions, reverse=True)[1:]:
            yield self.versions[number]


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens. `host` is an IP address: Envoy's endpoint discovery takes no names."""

    host: str
    http_port: int
    grpc_port: int


@dataclass(slots=True)
class Replica:
    """One server replica as its agent describes it. Memory is in bytes."""

    agent: Address
    inference: Address | None
    """The inference server itself; None when the agent did not tell, then all traffic goes through the agent."""
    server_type: str
    capabilities: frozenset[str]
    total_bytes: int
    available_bytes: int
    """As last reported; includes the overcommit share."""
    overcommit_percentage: int
    session: int
    """Which subscription this is; events of an older one are ignored."""
    lost_at: float | None = None
    """When its agent went away; the inference server may go on serving."""
    draining: bool = False
    load_patience: float = timing.load_patience()
    """Seconds that a load may stay without an answer: more than the agent allows itself."""
    unload_patience: float = timing.unload_patience()
    memory: Memory[VersionKey] = field(default_factory=Memory)
    unloads: Unloads[VersionKey] = field(default_factory=Unloads)
    capacity_bytes: int = 0
    """What all copies together may take, as far as the agent's reports tell; it decides about overcommit."""
    copies: set[VersionKey] = field(default_factory=set)
    """Every version with an entry on this replica."""

    @property
    def connected(self) -> bool:
        return self.lost_at is None

    @property
    def free_bytes(self) -> int:
        return max(0, min(self.available_bytes, self.capacity_bytes - self.memory.taken))

    def reported(self, available: int) -> None:
        """Note what the agent says is free; together with what it has confirmed, that much it has at least."""
        self.available_bytes = available
        most = self.total_bytes * (100 + self.overcommit_percentage) // 100
        seen = available + self.memory.held
        self.capacity_bytes = max(self.capacity_bytes, min(seen, most) if self.total_bytes else seen)


UNKNOWN_EXPECTED = -1


@dataclass(slots=True)
class Server:
    """A named group of identical server replicas, with the bounds that an operator declared."""

    name: str
    shared: bool = True
    expected: int = UNKNOWN_EXPECTED
    minimum: int = 0
    maximum: int = 0
    kubernetes_meta: pb.KubernetesMeta | None = None
    replicas: dict[int, Replica] = field(default_factory=dict)


@dataclass(slots=True)
class State:
    """Everything. Only `control` changes it."""

    models: dict[str, Model] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    unplaced: Unplaced = field(default_factory=Unplaced)
    """Models whose latest version has fewer copies than desired for want of a place."""
    adopts_until: float = inf
    """Until then, a model that only an agent knows is taken in: the database is younger than it.

    Later it was deleted, for all deletions since the database was made are still remembered until then.
    """

    def replica(self, key: ReplicaKey) -> Replica | None:
        server = self.servers.get(key.server)
        return server.replicas.get(key.replica) if server else None

    def version(self, key: VersionKey) -> Version | None:
        model = self.models.get(key.model)
        return model.versions.get(key.version) if model else None
