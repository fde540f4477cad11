"""`kind: Experiment` and its mapping to `scheduler.Experiment`."""

from typing import Literal

from mlops.scheduler import scheduler_pb2 as pb
from pydantic import Field

from shared.manifests.metadata import Manifest
from shared.manifests.strict import StrictModel, Uint32


class Candidate(StrictModel):
    name: str
    weight: Uint32 = 0


class Mirror(StrictModel):
    name: str
    percent: Uint32 = 0


class ExperimentSpec(StrictModel):
    default: str | None = None
    candidates: list[Candidate] = Field(default_factory=list)
    mirror: Mirror | None = None
    resource_type: Literal["model", "pipeline"] = "model"


class ExperimentManifest(Manifest):
    spec: ExperimentSpec

    def to_proto(self) -> pb.Experiment:
        spec = self.spec
        return pb.Experiment(
            name=self.metadata.name,
            default=spec.default,
            candidates=[pb.ExperimentCandidate(name=each.name, weight=each.weight) for each in spec.candidates],
            mirror=pb.ExperimentMirror(name=spec.mirror.name, percent=spec.mirror.percent) if spec.mirror else None,
            kubernetesMeta=self.metadata.kubernetes_meta(),
            resourceType=pb.ResourceType.Value(spec.resource_type.upper()),
        )
