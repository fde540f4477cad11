"""Pipelines, messages and records for tests, written as short as a person would."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from mlops.chainer.chainer_pb2 import PipelineStepUpdate, PipelineUpdateMessage
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from services.dataflow.core.topology import Topology
from shared.kafka.names import TopicNames
from shared.oip.tensors import to_raw, type_inputs, type_outputs

NAMES = TopicNames()
_JOINS = {
    "inner": PipelineStepUpdate.Inner,
    "outer": PipelineStepUpdate.Outer,
    "any": PipelineStepUpdate.Any,
    None: PipelineStepUpdate.Unknown,
}
_FIELDS = {"INT32": "int_contents", "INT64": "int64_contents", "FP32": "fp32_contents", "BYTES": "bytes_contents"}
Tensors = Mapping[str, Sequence[Any]]


def topic(reference: str, pipeline: str) -> tuple[str, str, str | None]:
    """Owner, topic and tensor of `step`, `step.outputs.T`, `pipeline.inputs.T`, `other.step.s.outputs.T`."""
    parts = reference.split(".")
    if "step" in parts[1:2]:
        owner, resource, rest = parts[0], parts[2], parts[3:]
        name = NAMES.model_inputs(resource) if rest[:1] == ["inputs"] else NAMES.model_outputs(resource)
        return owner, name, rest[1] if len(rest) > 1 else None
    resource, rest = parts[0], parts[1:]
    is_own = resource == pipeline
    direction = rest[0] if rest else ("inputs" if is_own else "outputs")
    make = {
        (True, "inputs"): NAMES.pipeline_inputs,
        (True, "outputs"): NAMES.pipeline_outputs,
        (False, "inputs"): NAMES.model_inputs,
        (False, "outputs"): NAMES.model_outputs,
    }[(is_own, direction)]
    return pipeline, make(resource), rest[1] if len(rest) > 1 else None


def external(reference: str) -> tuple[str, str, str | None]:
    owner = reference.split(".")[0]
    if reference.split(".")[1:2] == ["step"]:
        return topic(reference, owner)
    owner, name, tensor = topic(reference, owner)
    return owner, name, tensor


def _add(
    update: PipelineStepUpdate,
    pipeline: str,
    inputs: Iterable[tuple[str, str, str | None]],
    triggers: Iterable[tuple[str, str, str | None]],
    spec: Mapping[str, Any],
) -> None:
    for field, topics in (("sources", inputs), ("triggers", triggers)):
        for owner, name, tensor in topics:
            getattr(update, field).add(pipelineName=owner, topicName=name, tensor=tensor)
    update.inputJoinTy = _JOINS[spec.get("join")]
    update.triggersJoinTy = _JOINS[spec.get("trigger_join")]
    if "window" in spec:
        update.joinWindowMs = spec["window"]
    for reference, new_name in spec.get("tensor_map", {}).items():
        owner, name, tensor = topic(reference, pipeline) if spec.get("own", True) else external(reference)
        update.tensorMap.add(pipelineName=owner, topicAndTensor=f"{name}.{tensor}", tensorName=new_name)
    if "batch" in spec:
        update.batch.size = spec["batch"]
    if "batch_window" in spec:
        update.batch.windowMs = spec["batch_window"]


def message(
    name: str,
    steps: Mapping[str, Mapping[str, Any]],
    output: Mapping[str, Any] | None = None,
    intake: Mapping[str, Any] | None = None,
    version: int = 1,
    cycles: int | None = None,
) -> PipelineUpdateMessage:
    """`steps`: inputs, triggers, join, trigger_join, window, tensor_map, batch, batch_window; all optional."""
    update = PipelineUpdateMessage(op=PipelineUpdateMessage.Create, pipeline=name, version=version, uid=f"{name}-uid")
    update.pipelineOutputTopic = NAMES.pipeline_outputs(name)
    update.pipelineErrorTopic = NAMES.errors
    if cycles is not None:
        update.allowCycles, update.maxStepRevisits = True, cycles
    for step, spec in steps.items():
        added = update.updates.add()
        added.sink.pipelineName, added.sink.topicName = name, NAMES.model_inputs(step)
        inputs = [topic(reference, name) for reference in spec.get("inputs", [name])]
        _add(added, name, inputs, [topic(reference, name) for reference in spec.get("triggers", [])], spec)
    if intake is not None:
        added = update.updates.add()
        added.sink.pipelineName, added.sink.topicName = name, NAMES.pipeline_inputs(name)
        inputs = [external(reference) for reference in intake["inputs"]]
        triggers = [external(reference) for reference in intake.get("triggers", [])]
        _add(added, name, inputs, triggers, {**intake, "own": False})
    if output is not None:
        added = update.updates.add()
        added.sink.pipelineName, added.sink.topicName = name, NAMES.pipeline_outputs(name)
        _add(added, name, [topic(reference, name) for reference in output["steps"]], [], output)
    errors = update.updates.add()
    errors.sources.add(pipelineName=name, topicName=NAMES.errors)
    errors.sink.pipelineName, errors.sink.topicName = name, NAMES.pipeline_outputs(name)
    return update


def topology(*args: Any, **kwargs: Any) -> Topology:
    return Topology(message(*args, **kwargs))


def partitions(shape: Topology, count: int = 4) -> dict[str, int]:
    return dict.fromkeys(shape.sinks, count)


def _fill(tensors: Any, raws: Any, content: Mapping[str, Any], *, raw: bool) -> None:
    for name, values in content.items():
        array = np.asarray(values)
        if array.dtype.kind == "S":  # numpy's own text type loses zero bytes at the end
            array = np.asarray(values, dtype=object)
        datatype = {"i": "INT32", "f": "FP32", "O": "BYTES"}[array.dtype.kind]
        tensor = tensors.add(name=name, datatype=datatype, shape=array.shape)
        elements = array.ravel().tolist()
        getattr(tensor.contents, _FIELDS[datatype]).extend(elements)
        if raw:
            raws.append(to_raw(datatype, tensor.contents))
            tensor.ClearField("contents")


def request(content: Mapping[str, Any], raw: bool = False, id: str = "", **fields: Any) -> bytes:
    made = ModelInferRequest(id=id, **fields)
    _fill(made.inputs, made.raw_input_contents, content, raw=raw)
    return made.SerializeToString()


def response(content: Mapping[str, Any], raw: bool = False, id: str = "", **fields: Any) -> bytes:
    made = ModelInferResponse(id=id, **fields)
    _fill(made.outputs, made.raw_output_contents, content, raw=raw)
    return made.SerializeToString()


def _read(tensors: Iterable[Any]) -> list[tuple[str, Any]]:
    return [
        (each.name, np.array(list(getattr(each.contents, _FIELDS[each.datatype])), object).reshape(each.shape).tolist())
        for each in tensors
    ]


def read_request(value: bytes) -> list[tuple[str, Any]]:
    return _read(type_inputs(ModelInferRequest.FromString(value)).inputs)


def read_response(value: bytes) -> list[tuple[str, Any]]:
    return _read(type_outputs(ModelInferResponse.FromString(value)).outputs)
