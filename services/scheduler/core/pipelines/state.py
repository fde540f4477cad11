"""What the scheduler knows of pipelines: desired versions, and how far engines, gateways and Envoy are with them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.members.fleet import Fleet
from services.scheduler.core.routing import NO_GATEWAY, Gateway, PipelinePlan
from shared.kafka.names import PIPELINE_GATEWAY, GroupNames

SCOPE_SUFFIX = ".pipeline"
"""A pipeline's value of the header `seldon-model` is its name with this."""


@dataclass(slots=True)
class PipelineVersion:
    """One version, with its number and uid in `definition`. `created` is in seconds since the epoch."""

    definition: pb.Pipeline
    created: float
    superseded: bool = False
    """A newer version is ready: this one is to go."""
    engine: Deployment = field(default_factory=Deployment)

    @property
    def number(self) -> int:
        return self.definition.version


@dataclass(slots=True)
class Pipeline:
    """A named pipeline. The latest version is the desired one; older ones run until it is ready."""

    name: str
    versions: dict[int, PipelineVersion] = field(default_factory=dict)
    deleted_at: float | None = None
    leaving: list[PipelineVersion] = field(default_factory=list)
    """Versions of an unloaded pipeline of this name; the new one begins when they have ended."""
    past: list[PipelineVersion] = field(default_factory=list)
    """The last versions of earlier pipelines of this name: an engine that was cut off may still have them."""
    gateway: Deployment = field(default_factory=Deployment)
    """Gateways know pipelines by name: one part for all versions."""
    published: PipelinePlan = NO_GATEWAY
    """The last plan given to Envoy; `revision` counts them."""
    taken: PipelinePlan = NO_GATEWAY
    """The last plan that every Envoy took."""
    offered: frozenset[Gateway] | None = frozenset()
    """Gateways that some Envoy may send requests to: those of the last plan that every Envoy took, and of all plans
    since. None after a restart until every Envoy has taken one: it may not have had what was published last."""
    revision: int = 0
    acked: bool = True
    route_error: str = ""
    """Why an Envoy refused the published plan; it then goes on with the one before."""
    route_due: float | None = None
    """When the published plan is offered again, unless every Envoy takes it before; seconds since the epoch."""

    @property
    def latest(self) -> PipelineVersion:
        return self.versions[max(self.versions)]

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None

    @property
    def is_ending(self) -> bool:
        """A pipeline of this name is on its way out, or gone."""
        return self.deleted or bool(self.leaving)

    @property
    def retired(self) -> list[PipelineVersion]:
        """Versions that end because the pipeline was unloaded, oldest first."""
        return [*self.leaving, *(self.ordered() if self.deleted else ())]

    @property
    def scope(self) -> str:
        return self.name + SCOPE_SUFFIX

    def ordered(self) -> Iterator[PipelineVersion]:
        """Oldest first."""
        for number in sorted(self.versions):
            yield self.versions[number]

    def all_versions(self) -> Iterator[PipelineVersion]:
        """Those of unloaded pipelines first."""
        yield from self.past
        yield from self.leaving
        yield from self.ordered()


@dataclass(slots=True)
class Pipelines:
    """All pipelines and the members that run them. Only `control` changes it."""

    engines: Fleet
    gateways: Fleet
    groups: GroupNames
    max_consumers: int
    by_name: dict[str, Pipeline] = field(default_factory=dict)

    def gateway_key(self, pipeline: str) -> str:
        """What its gateways are found by: pipelines that share a consumer group belong to the same ones."""
        return self.groups.gateway(PIPELINE_GATEWAY, pipeline, self.max_consumers)
