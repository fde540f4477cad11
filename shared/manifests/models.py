"""`kind: Model` and its mapping to `scheduler.Model`."""

from typing import Annotated, Final, Self

from mlops.scheduler import scheduler_pb2 as pb
from pydantic import BeforeValidator, Field, model_validator

from shared.manifests.metadata import Dataflow, Manifest
from shared.manifests.quantity import bytes_of
from shared.manifests.strict import Names, Replicas, StrictModel, Uint32

UNLIMITED_REPLICAS: Final = 2**32 - 1
"""`maxReplicas` of a model that sets no bound."""


def _memory(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a quantity such as 100Ki, got {value!r}")
    return bytes_of(value)


class Parameter(StrictModel):
    name: str
    value: str = ""


class Reference(StrictModel):
    """The model or pipeline that an explainer or a language-model runtime calls."""

    model_ref: str | None = None
    pipeline_ref: str | None = None

    @model_validator(mode="after")
    def _refers_to_one_thing(self) -> Self:
        if not self.model_ref and not self.pipeline_ref:
            raise ValueError("needs modelRef or pipelineRef")
        if self.model_ref and self.pipeline_ref:
            raise ValueError("has modelRef and pipelineRef: name one thing that it calls")
        return self


class Explainer(Reference):
    type: str = ""


class Logger(StrictModel):
    percent: int | None = None


class ModelSpec(StrictModel):
    storage_uri: str = ""
    artifact_version: Uint32 | None = None
    model_type: str = ""
    requirements: Names = Field(default_factory=list)
    memory: Annotated[int, BeforeValidator(_memory)] | None = None
    replicas: Replicas | None = None
    min_replicas: Replicas = 0
    max_replicas: Replicas = 0
    server: str | None = None
    secret_name: str | None = None
    parameters: list[Parameter] = Field(default_factory=list)
    explainer: Explainer | None = None
    llm: Reference | None = None
    logger: Logger | None = None
    dataflow: Dataflow | None = None
    # Accepted, without effect.
    schema_uri: str = ""
    preloaded: bool = False
    dedicated: bool = False

    @property
    def wanted_replicas(self) -> int:
        return self.replicas if self.replicas is not None else self.min_replicas or 1

    @model_validator(mode="after")
    def _explainer_or_llm(self) -> Self:
        if self.explainer and self.llm:
            raise ValueError("explainer and llm cannot be used together: remove one of them")
        return self

    @model_validator(mode="after")
    def _replicas_within_bounds(self) -> Self:
        wanted, low, high = self.wanted_replicas, self.min_replicas, self.max_replicas
        start = "scaling spec is invalid:"
        if high and low > high:
            raise ValueError(f"{start} minReplicas {low} is more than maxReplicas {high}")
        if wanted < low:
            raise ValueError(f"{start} replicas {wanted} is less than minReplicas {low}")
        if high and wanted > high:
            raise ValueError(f"{start} replicas {wanted} is more than maxReplicas {high}")
        return self


class ModelManifest(Manifest):
    spec: ModelSpec

    def to_proto(self) -> pb.Model:
        """The scheduler's form; replicas and their upper bound are always filled."""
        spec = self.spec
        return pb.Model(
            meta=pb.MetaData(name=self.metadata.name, kubernetesMeta=self.metadata.kubernetes_meta()),
            modelSpec=_model_spec(spec),
            deploymentSpec=pb.DeploymentSpec(
                replicas=spec.wanted_replicas,
                minReplicas=spec.min_replicas,
                maxReplicas=spec.max_replicas or UNLIMITED_REPLICAS,
                logPayloads=spec.logger is not None,
            ),
            dataflowSpec=pb.DataflowSpec(cleanTopicsOnDelete=spec.dataflow.clean_topics_on_delete)
            if spec.dataflow
            else None,
        )


def _model_spec(spec: ModelSpec) -> pb.ModelSpec:
    return pb.ModelSpec(
        uri=spec.storage_uri,
        artifactVersion=spec.artifact_version,
        requirements=[*spec.requirements, *([spec.model_type] if spec.model_type else [])],
        memoryBytes=spec.memory,
        server=spec.server,
        storageConfig=pb.StorageConfig(storageSecretName=spec.secret_name) if spec.secret_name else None,
        parameters=[pb.ParameterSpec(name=each.name, value=each.value) for each in spec.parameters],
        explainer=pb.ExplainerSpec(
            type=spec.explainer.type, modelRef=spec.explainer.model_ref, pipelineRef=spec.explainer.pipeline_ref
        )
        if spec.explainer
        else None,
        llm=pb.LlmSpec(modelRef=spec.llm.model_ref, pipelineRef=spec.llm.pipeline_ref) if spec.llm else None,
    )
