"""A pipeline as the scheduler sent it, and as the gateway keeps it."""

from collections.abc import Sequence
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
    needed: tuple[str, ...] = ()
    """Models without which there is no answer for certain: those of other steps may be on a side branch."""


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
        needed=_needed(pipeline),
    )


def _needed(pipeline: pb.Pipeline) -> tuple[str, ...]:
    """From the output back along everything that has to come."""
    steps = {step.name: step for step in pipeline.steps}
    output = pipeline.output
    open_ends = list(_certain(output.steps, output.stepsJoin == pb.PipelineOutput.INNER))
    found: dict[str, None] = {}
    while open_ends:
        name = open_ends.pop(0)
        if name in found or name not in steps:
            continue
        found[name] = None
        step = steps[name]
        open_ends += _certain(step.inputs, step.inputsJoin == pb.PipelineStep.INNER)
        open_ends += _certain(step.triggers, step.triggersJoin == pb.PipelineStep.INNER)
    return tuple(found)


def _certain(references: Sequence[str], all_of_them: bool) -> list[str]:
    """The steps that references are of, where each of them has to come."""
    names = list(dict.fromkeys(reference.split(".")[0] for reference in references))
    return names if all_of_them or len(names) == 1 else []
