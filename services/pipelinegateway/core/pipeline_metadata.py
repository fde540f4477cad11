"""The tensors that a pipeline takes and gives, as far as its definition and its models' metadata tell."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from mlops.v2_dataplane.v2_dataplane_pb2 import ModelMetadataResponse

from services.pipelinegateway.core.definitions import Definition, Step

PLATFORM: Final = "seldon-pipeline"

Tensor: TypeAlias = dict[str, Any]
"""`name`, `datatype` and `shape`, as in a model's metadata."""
Models: TypeAlias = Mapping[str, Mapping[str, Any]]


def describe(pipeline: Definition, models: Models) -> dict[str, Any]:
    """Metadata in its JSON form. `inputs` and `outputs` are left empty where they cannot be told for certain."""
    return {
        "name": pipeline.name,
        "versions": [str(pipeline.version)],
        "platform": PLATFORM,
        "inputs": _inputs(pipeline, models) or [],
        "outputs": _outputs(pipeline, models) or [],
    }


def to_proto(metadata: Mapping[str, Any]) -> ModelMetadataResponse:
    response = ModelMetadataResponse(
        name=metadata["name"], versions=metadata["versions"], platform=metadata["platform"]
    )
    response.inputs.extend(ModelMetadataResponse.TensorMetadata(**tensor) for tensor in metadata["inputs"])
    response.outputs.extend(ModelMetadataResponse.TensorMetadata(**tensor) for tensor in metadata["outputs"])
    return response


def _inputs(pipeline: Definition, models: Models) -> list[Tensor] | None:
    """None as soon as one step's part is uncertain."""
    found: list[Tensor] = []
    for step in pipeline.steps:
        tensors = _taken(pipeline.name, step, models)
        if tensors is None:
            return None
        found += [tensor for tensor in tensors if tensor["name"] not in {each["name"] for each in found}]
    return found


def _taken(pipeline: str, step: Step, models: Models) -> list[Tensor] | None:
    """What a step takes of the pipeline's own input, under the names that callers use."""
    own = [reference for reference in step.inputs if reference.split(".")[0] == pipeline]
    if step.inputs and not own:
        return []
    tensors = _tensors(models, step.model, "inputs")
    whole = [reference for reference in own if reference in (pipeline, f"{pipeline}.inputs")]
    if tensors is None or (step.names and (whole or not own)):
        return None
    if not own or (whole and len(step.inputs) == 1):
        return tensors
    if whole:
        return None
    by_name = {tensor["name"]: tensor for tensor in tensors}
    taken = []
    for reference in own:
        parts = reference.split(".")
        expected = by_name.get(step.names.get(reference, parts[-1]))
        if len(parts) != 3 or parts[1] != "inputs" or expected is None:
            return None
        taken.append({**expected, "name": parts[2]})
    return taken


def _outputs(pipeline: Definition, models: Models) -> list[Tensor] | None:
    found: list[Tensor] = []
    for reference in pipeline.outputs or ():
        step, _, rest = reference.partition(".")
        tensors = _tensors(models, step, "outputs")
        direction, _, wanted = rest.partition(".")
        if tensors is None or direction not in ("", "outputs"):
            return None
        for tensor in tensors:
            if wanted in ("", tensor["name"]):
                new_name = pipeline.output_names.get(f"{step}.outputs.{tensor['name']}", tensor["name"])
                found.append({**tensor, "name": new_name})
    return found


def _tensors(models: Models, model: str, side: str) -> list[Tensor] | None:
    """None when the model is silent about them, or what it says is no description of tensors."""
    told = models.get(model, {}).get(side)
    if not isinstance(told, Iterable) or isinstance(told, str | Mapping):
        return None
    tensors = [_tensor(each) for each in told]
    complete = [tensor for tensor in tensors if tensor is not None]
    return complete if complete and len(complete) == len(tensors) else None


def _tensor(told: object) -> Tensor | None:
    if not isinstance(told, Mapping):
        return None
    name, datatype, shape = told.get("name"), told.get("datatype"), told.get("shape")
    if not isinstance(name, str) or not isinstance(datatype, str) or not isinstance(shape, list):
        return None
    if not all(type(size) is int and -(2**63) <= size < 2**63 for size in shape):
        return None
    return {"name": name, "datatype": datatype, "shape": shape}
