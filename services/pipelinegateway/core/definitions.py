"""A pipeline as the scheduler sent it, and as the gateway keeps it."""

from dataclasses import dataclass, field

from mlops.scheduler import scheduler_pb2 as pb


@dataclass(frozen=True, slots=True)
class Definition:
    """A pipeline as the scheduler sent it: what calls, readiness and metadata need of it."""

    name: str
    uid: str
    version: int
    steps: tuple["Step", ...]
    outputs: tuple[str, ...] | None
    """References of the output's tensors; None for a pipeline without an output."""
    output_names: dict[str, str] = field(default_factory=dict)
    """New names of the output's tensors, by reference."""


@dataclass(frozen=True, slots=True)
class Step:
    """One model of a pipeline; without inputs it takes the pipeline's own."""

    model: str
    inputs: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    """New names of its input tensors, by reference."""


def definition_of(pipeline: pb.Pipeline) -> Definition:
    return Definition(
        name=pipeline.name,
        uid=pipeline.uid,
        version=pipeline.version,
        steps=tuple(Step(step.name, tuple(step.inputs), dict(step.tensorMap)) for step in pipeline.steps),
        outputs=tuple(pipeline.output.steps) if pipeline.HasField("output") else None,
        output_names=dict(pipeline.output.tensorMap),
    )
