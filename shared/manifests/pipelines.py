"""`kind: Pipeline` and its mapping to `scheduler.Pipeline`."""

from typing import Literal, TypeAlias

from mlops.scheduler import scheduler_pb2 as pb
from pydantic import Field

from shared.manifests.metadata import Dataflow, Manifest
from shared.manifests.strict import Names, StrictModel, Uint32

Join: TypeAlias = Literal["inner", "outer", "any"]


class Batch(StrictModel):
    """`rolling` is accepted, without effect."""

    size: Uint32 | None = None
    window_ms: Uint32 | None = None
    rolling: bool = False


class Step(StrictModel):
    name: str
    inputs: Names = Field(default_factory=list)
    triggers: Names = Field(default_factory=list)
    inputs_join_type: Join = "inner"
    triggers_join_type: Join = "inner"
    join_window_ms: Uint32 | None = None
    tensor_map: dict[str, str] = Field(default_factory=dict)
    batch: Batch | None = None

    def to_proto(self) -> pb.PipelineStep:
        return pb.PipelineStep(
            name=self.name,
            inputs=self.inputs,
            triggers=self.triggers,
            inputsJoin=pb.PipelineStep.JoinOp.Value(self.inputs_join_type.upper()),
            triggersJoin=pb.PipelineStep.JoinOp.Value(self.triggers_join_type.upper()),
            joinWindowMs=self.join_window_ms,
            tensorMap=self.tensor_map,
            batch=pb.Batch(size=self.batch.size, windowMs=self.batch.window_ms) if self.batch else None,
        )


class Output(StrictModel):
    steps: Names = Field(default_factory=list)
    steps_join: Join = "inner"
    join_window_ms: Uint32 = 0
    tensor_map: dict[str, str] = Field(default_factory=dict)

    def to_proto(self) -> pb.PipelineOutput:
        return pb.PipelineOutput(
            steps=self.steps,
            stepsJoin=pb.PipelineOutput.JoinOp.Value(self.steps_join.upper()),
            joinWindowMs=self.join_window_ms,
            tensorMap=self.tensor_map,
        )


class Input(StrictModel):
    external_inputs: Names = Field(default_factory=list)
    external_triggers: Names = Field(default_factory=list)
    join_type: Join = "inner"
    triggers_join_type: Join = "inner"
    join_window_ms: Uint32 | None = None
    tensor_map: dict[str, str] = Field(default_factory=dict)

    def to_proto(self) -> pb.PipelineInput:
        return pb.PipelineInput(
            externalInputs=self.external_inputs,
            externalTriggers=self.external_triggers,
            joinType=pb.PipelineInput.JoinOp.Value(self.join_type.upper()),
            triggersJoin=pb.PipelineInput.JoinOp.Value(self.triggers_join_type.upper()),
            joinWindowMs=self.join_window_ms,
            tensorMap=self.tensor_map,
        )


class PipelineSpec(StrictModel):
    steps: list[Step] = Field(default_factory=list)
    output: Output | None = None
    input: Input | None = None
    dataflow: Dataflow | None = None
    allow_cycles: bool = False
    max_step_revisits: Uint32 = 0


class PipelineManifest(Manifest):
    spec: PipelineSpec

    def to_proto(self) -> pb.Pipeline:
        """The scheduler's form; `uid` and `version` are left to the scheduler."""
        spec = self.spec
        return pb.Pipeline(
            name=self.metadata.name,
            steps=[step.to_proto() for step in spec.steps],
            output=spec.output.to_proto() if spec.output else None,
            input=spec.input.to_proto() if spec.input else None,
            kubernetesMeta=self.metadata.kubernetes_meta(),
            dataflowSpec=pb.DataflowSpec(cleanTopicsOnDelete=spec.dataflow.clean_topics_on_delete)
            if spec.dataflow
            else None,
            allowCycles=spec.allow_cycles,
            maxStepRevisits=spec.max_step_revisits,
        )
