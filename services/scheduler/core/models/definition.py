"""What a submitted model definition means: whether it is valid, and what it changes."""

from enum import Enum
from typing import Final, Literal

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.models.placement import Need
from services.scheduler.core.state import Version
from shared.errors import InvalidInput, RejectedRequest
from shared.model_definition import loads_the_same, what_is_loaded
from shared.names import validate_name

MAX_FIRST_VERSION: Final = 2**31
"""Version numbers are 32 bits wide on the wire; this leaves room for as many updates again."""


class Change(Enum):
    """What a submission does to the latest version."""

    NONE = "nothing changed; placement is tried again"
    IN_PLACE = "replica counts or metadata; the version keeps its number"
    NEW_VERSION = "anything that changes how the model is loaded"


def validate(model: pb.Model) -> None:
    """Raise RejectedRequest or InvalidInput naming the first wrong field."""
    if not model.HasField("meta"):
        raise RejectedRequest("model has no meta: set meta.name")
    validate_name("model", model.meta.name)
    if not model.HasField("modelSpec"):
        raise RejectedRequest(f"model {model.meta.name} has no modelSpec: set modelSpec.uri")
    generation = model.meta.kubernetesMeta.generation
    if generation > MAX_FIRST_VERSION:
        raise InvalidInput.of_field("meta.kubernetesMeta.generation", generation, f"at most {MAX_FIRST_VERSION}")
    spec, deployment = model.modelSpec, model.deploymentSpec
    if not spec.uri.strip():
        raise RejectedRequest(f"model {model.meta.name} has an empty modelSpec.uri: set where its artifact is")
    if any(not requirement.strip() for requirement in spec.requirements):
        raise RejectedRequest(f"model {model.meta.name} has a blank modelSpec.requirements entry: remove it")
    if spec.HasField("explainer"):
        _validate_reference(model.meta.name, "explainer", spec.explainer)
    if spec.HasField("llm"):
        _validate_reference(model.meta.name, "llm", spec.llm)
    if deployment.minReplicas > max(deployment.replicas, 0):
        raise InvalidInput.of_field(
            "deploymentSpec.minReplicas", deployment.minReplicas, f"at most replicas ({deployment.replicas})"
        )
    if 0 < deployment.maxReplicas < deployment.replicas:
        raise InvalidInput.of_field(
            "deploymentSpec.replicas", deployment.replicas, f"at most maxReplicas ({deployment.maxReplicas})"
        )


def _validate_reference(name: str, kind: Literal["explainer", "llm"], spec: pb.ExplainerSpec | pb.LlmSpec) -> None:
    both = f"{kind}.modelRef or {kind}.pipelineRef"
    if not (spec.modelRef or spec.pipelineRef):
        missing = "explains nothing" if kind == "explainer" else "refers to nothing"
        raise RejectedRequest(f"model {name} {missing}: set {both}")
    if spec.modelRef and spec.pipelineRef:
        raise RejectedRequest(
            f"model {name} names two things that it calls, model {spec.modelRef} and pipeline {spec.pipelineRef}: "
            f"set one, {both}"
        )


def compare(old: pb.Model, new: pb.Model) -> Change:
    """What changes when `new` replaces `old`."""
    if not loads_the_same(old, new):
        return Change.NEW_VERSION
    return Change.NONE if _without_runtime(old) == _without_runtime(new) else Change.IN_PLACE


def _without_runtime(model: pb.Model) -> pb.Model:
    copy = pb.Model()
    copy.CopyFrom(model)
    copy.modelSpec.CopyFrom(what_is_loaded(model))
    return copy


def first_version_number(model: pb.Model) -> int:
    """The Kubernetes generation where there is one, so that versions of a re-created resource do not start over."""
    return max(1, model.meta.kubernetesMeta.generation)


def need_of(version: Version) -> Need:
    """The placement question for a version."""
    spec, deployment = version.definition.modelSpec, version.definition.deploymentSpec
    return Need(
        capabilities=tuple(requirement.strip() for requirement in spec.requirements),
        memory=version.needed_bytes,
        replicas=deployment.replicas,
        min_replicas=deployment.minReplicas,
        server=spec.server if spec.HasField("server") and spec.server else None,
        explainer=spec.HasField("explainer"),
    )
