"""What a submitted pipeline definition means: its references in full, and whether it is valid."""

from collections.abc import Iterable, Mapping
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.pipelines.cycles import find_cycle, show
from services.scheduler.core.pipelines.references import (
    BadReferenceError,
    Reference,
    is_blank,
    normalised,
    normalised_external,
    parse,
    parse_external,
    selected,
)
from shared.errors import RejectedRequest
from shared.names import validate_name

_JOINS: Final = frozenset(pb.PipelineStep.JoinOp.values())


def normalise(pipeline: pb.Pipeline) -> pb.Pipeline:
    """A copy in which every reference says inputs or outputs, and what sets nothing is left out."""
    made = pb.Pipeline()
    made.CopyFrom(pipeline)
    name = made.name
    for step in made.steps:
        step.inputs[:] = [normalised(text, name) for text in step.inputs]
        step.triggers[:] = [normalised(text, name) for text in step.triggers]
        if step.HasField("batch"):
            _normalise_batch(step)
    if made.HasField("output"):
        made.output.steps[:] = [normalised(text, name) for text in made.output.steps]
    if made.HasField("input"):
        made.input.externalInputs[:] = map(normalised_external, made.input.externalInputs)
        made.input.externalTriggers[:] = map(normalised_external, made.input.externalTriggers)
    return made


def _normalise_batch(step: pb.PipelineStep) -> None:
    """A window of no length is no window; a batch without size and window is no batch."""
    if not step.batch.windowMs:
        step.batch.ClearField("windowMs")
    if not step.batch.HasField("size") and not step.batch.HasField("windowMs"):
        step.ClearField("batch")


def validate(pipeline: pb.Pipeline) -> None:
    """Raise RejectedRequest with the first fault of a normalised definition. Loops across pipelines: `check_across`."""
    _check_names(pipeline)
    for step in pipeline.steps:
        _check_references(pipeline, step, step.inputs, "input")
    for step in pipeline.steps:
        _check_references(pipeline, step, step.triggers, "trigger")
    _check_sources_exist(pipeline)
    if pipeline.HasField("output"):
        _check_output(pipeline)
    if not pipeline.allowCycles:
        _check_cycle(pipeline)
    for step in pipeline.steps:
        _check_mutually_exclusive(f"pipeline {pipeline.name} step {step.name}", step.inputs, step.triggers)
    if pipeline.HasField("input"):
        _check_external(pipeline)
    _check_tensor_maps(pipeline)
    _check_settings(pipeline)


def _check_names(pipeline: pb.Pipeline) -> None:
    seen: set[str] = set()
    for step in pipeline.steps:
        if step.name in seen:
            raise RejectedRequest(f"pipeline {pipeline.name} has repeated step {step.name}: a step is named once")
        seen.add(step.name)
    validate_name("pipeline", pipeline.name)
    if not pipeline.steps:
        raise RejectedRequest(f"pipeline {pipeline.name} has no steps defined: give at least one in spec.steps")
    if pipeline.name in seen:
        raise RejectedRequest(
            f"pipeline {pipeline.name} must not have a step name with the same name as pipeline name: "
            "rename one of them"
        )
    for step in pipeline.steps:
        validate_name(f"pipeline {pipeline.name} step", step.name)


def _check_references(pipeline: pb.Pipeline, step: pb.PipelineStep, texts: Iterable[str], what: str) -> None:
    where = f"pipeline {pipeline.name} step {step.name}"
    for text in texts:
        if is_blank(text):
            article = "an empty input" if what == "input" else "an empty trigger"
            raise RejectedRequest(f"{where} has {article}: name a step, or remove the entry")
        try:
            reference = parse(text, pipeline.name)
        except BadReferenceError as error:
            raise RejectedRequest(f"{where} has a bad {what} specifier {text}: {error}") from None
        if reference.step is None and reference.direction == "outputs":
            raise RejectedRequest(
                f"{where} has a bad {what} specifier {text}: a step cannot read what its pipeline puts out: "
                f"write {pipeline.name}.inputs or the step whose outputs you mean"
            )


def _check_sources_exist(pipeline: pb.Pipeline) -> None:
    known = {pipeline.name, *(step.name for step in pipeline.steps)}
    for what in ("input", "trigger"):
        for step in pipeline.steps:
            for text in step.inputs if what == "input" else step.triggers:
                if text.split(".", 1)[0] not in known:
                    raise RejectedRequest(
                        f"pipeline {pipeline.name} step {step.name} has {what} {text} for step that does not exist: "
                        f"{_known_steps(pipeline)}"
                    )


def _check_output(pipeline: pb.Pipeline) -> None:
    steps = {step.name for step in pipeline.steps}
    if not pipeline.output.steps:
        raise RejectedRequest(
            f"pipeline {pipeline.name} has an output without steps: name one, or leave the output out"
        )
    for text in pipeline.output.steps:
        name = text.split(".", 1)[0]
        if name not in steps:
            raise RejectedRequest(f"pipeline {pipeline.name} output step {name} not found: {_known_steps(pipeline)}")
    for text in pipeline.output.steps:
        try:
            parse(text, pipeline.name)
        except BadReferenceError as error:
            raise RejectedRequest(f"pipeline {pipeline.name} has a bad output specifier {text}: {error}") from None


def _known_steps(pipeline: pb.Pipeline) -> str:
    shown = [step.name for step in pipeline.steps[:10]]
    more = f" and {len(pipeline.steps) - len(shown)} more" if len(pipeline.steps) > len(shown) else ""
    return f"the steps are {', '.join(shown)}{more}"


def _check_cycle(pipeline: pb.Pipeline) -> None:
    feeds: dict[str, list[str]] = {step.name: [] for step in pipeline.steps}
    for step in pipeline.steps:
        for text in (*step.inputs, *step.triggers):
            source = text.split(".", 1)[0]
            if source in feeds:
                feeds[source].append(step.name)
    loop = find_cycle(feeds)
    if loop:
        raise RejectedRequest(
            f"pipeline {pipeline.name} has a cycle: {show(loop)}: remove one of these links, or set allowCycles"
        )


def _check_mutually_exclusive(where: str, inputs: Iterable[str], triggers: Iterable[str]) -> None:
    taken = set(inputs)
    for text in triggers:
        if text in taken:
            raise RejectedRequest(
                f"{where} has {text} as input and as trigger: inputs and triggers must differ, an input is waited for "
                "anyway: remove the trigger"
            )


def _check_external(pipeline: pb.Pipeline) -> None:
    where, given = f"pipeline {pipeline.name} has an invalid pipeline input", pipeline.input
    if not given.externalInputs:
        raise RejectedRequest(f"{where}: it has no externalInputs: name at least one, or leave the input out")
    for what, texts in (("externalInputs", given.externalInputs), ("externalTriggers", given.externalTriggers)):
        for text in texts:
            if is_blank(text):
                raise RejectedRequest(f"{where}: {what} has an empty entry: name a pipeline, or remove the entry")
            try:
                parse_external(text)
            except BadReferenceError as error:
                raise RejectedRequest(f"{where} {text} in {what}: {error}") from None
    _check_mutually_exclusive(f"{where}: it", given.externalInputs, given.externalTriggers)


def _check_tensor_maps(pipeline: pb.Pipeline) -> None:
    name = pipeline.name
    for step in pipeline.steps:
        sources = [parse(text, name) for text in step.inputs] or [Reference(name, None, "inputs", None)]
        _check_tensor_map(f"pipeline {name} step {step.name}", step.tensorMap, sources, name)
    outputs = [parse(text, name) for text in pipeline.output.steps]
    _check_tensor_map(f"pipeline {name} output", pipeline.output.tensorMap, outputs, name)
    external = [parse_external(text) for text in pipeline.input.externalInputs]
    _check_tensor_map(f"pipeline {name} input", pipeline.input.tensorMap, external, None)


def _check_tensor_map(where: str, tensor_map: Mapping[str, str], sources: list[Reference], own: str | None) -> None:
    """Every key has to name a tensor that one of the sources carries. `own` is None for references to others."""
    carried = set(selected(sources))
    for key, renamed in sorted(tensor_map.items()):
        try:
            reference = parse_external(key) if own is None else parse(key, own)
        except BadReferenceError as error:
            raise RejectedRequest(f"{where} has a bad tensorMap key {key}: {error}") from None
        if reference.tensor is None:
            raise RejectedRequest(f"{where} has a bad tensorMap key {key}: it names no tensor: write {key}.<tensor>")
        if reference not in carried and reference.stream not in carried:
            raise RejectedRequest(
                f"{where} has a tensorMap key {key} that none of its inputs carries: correct the key, or add the input"
            )
        if not renamed.strip():
            raise RejectedRequest(f"{where} has tensorMap key {key} without a new name: give one, or remove the key")


def _check_settings(pipeline: pb.Pipeline) -> None:
    name = pipeline.name
    for step in pipeline.steps:
        if step.HasField("batch") and not step.batch.size:
            raise RejectedRequest(
                f"pipeline {name} step {step.name} has a batch without batch.size: give at least 1, or leave batch out"
            )
        _check_join(f"pipeline {name} step {step.name}", "inputsJoin", step.inputsJoin)
        _check_join(f"pipeline {name} step {step.name}", "triggersJoin", step.triggersJoin)
    _check_join(f"pipeline {name} output", "stepsJoin", pipeline.output.stepsJoin)
    _check_join(f"pipeline {name} input", "joinType", pipeline.input.joinType)
    _check_join(f"pipeline {name} input", "triggersJoin", pipeline.input.triggersJoin)


def _check_join(where: str, field: str, value: int) -> None:
    if value not in _JOINS:
        raise RejectedRequest(f"{where} has {field} {value}: use INNER (0), OUTER (1) or ANY (2)")
