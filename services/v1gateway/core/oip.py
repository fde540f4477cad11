"""Seldon messages as requests of the Open Inference Protocol, and its responses as Seldon messages."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse, ModelMetadataResponse

from services.v1gateway.core import convention as c
from services.v1gateway.core.message import (
    Array,
    Feedback,
    Message,
    Result,
    array,
    datatype,
    numeric,
    python_values,
    rows,
)
from shared.errors import InvalidInput, NotImplementedYet
from shared.oip.json_elements import Elements, is_text, numbers, shown
from shared.oip.tensors import contents_of_numbers, numbers_of_contents, numbers_of_raw, split_bytes

INPUT: Final = "predict"
"""The name of the tensor where the model does not say what it takes."""
Declared = Sequence[ModelMetadataResponse.TensorMetadata]
_KEPT: Final = ("puid", "tags")


def request(message: Message, declared: Declared) -> ModelInferRequest:
    """`declared` are the inputs that the model says it takes, none when it is silent.

    Raises InvalidInput where the payload cannot be what the model takes.
    """
    made = ModelInferRequest()
    kept = {name: message.meta[name] for name in _KEPT if message.meta.get(name)}
    if kept:
        made.parameters[c.META].string_param = orjson.dumps(kept).decode()
    if message.kind == c.JSON and declared and isinstance(message.payload, Mapping):
        _by_name(made, message.payload, declared)
    else:
        _one(made, message, declared)
    return made


def feedback(told: Feedback, declared: Declared) -> ModelInferRequest | None:
    """What a version 1 class is told; None when there is no request in it."""
    if told.request is None:
        return None
    made = request(told.request, declared)
    made.parameters[c.CALL].string_param = c.FEEDBACK
    made.parameters[c.REWARD].string_param = repr(told.reward)
    if told.routing is not None:
        made.parameters[c.ROUTING].int64_param = told.routing
    if told.truth is not None:
        _one(made, told.truth, (), c.TRUTH)
    return made


def _by_name(made: ModelInferRequest, payload: Mapping[str, Any], declared: Declared) -> None:
    """A model that takes several tensors is given them by name in jsonData."""
    expected = {tensor.name: tensor for tensor in declared}
    if payload.keys() != expected.keys():
        raise InvalidInput(
            f"invalid jsonData {shown(list(payload))}: the model takes the tensors {', '.join(expected)}: "
            "write each as a list under its name"
        )
    for name, data in payload.items():
        add_array(made, name, array(data, f"jsonData.{name}"), expected[name].datatype)


def _one(made: ModelInferRequest, message: Message, declared: Declared, name: str = "") -> None:
    if len(declared) > 1:
        raise InvalidInput(
            f"the model takes {len(declared)} tensors ({', '.join(each.name for each in declared)}) and {message.kind} "
            "is one: write them by name in jsonData, or use the TensorFlow or the Open Inference Protocol"
        )
    name = name or (declared[0].name if declared else INPUT)
    if message.kind in c.ARRAYS:
        tensor = add_array(made, name, message.payload, declared[0].datatype if declared else "")
    else:
        content = message.payload
        if message.kind == c.JSON:
            content = orjson.dumps(content)
        elif message.kind == c.STRING:
            content = content.encode()
        tensor = made.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(content)
        if message.kind != c.BINARY:
            tensor.parameters["content_type"].string_param = "str"
    tensor.parameters[c.KIND].string_param = message.kind
    if message.names:
        tensor.parameters[c.NAMES].string_param = orjson.dumps(message.names).decode()


def add_array(made: ModelInferRequest, name: str, given: Array, declared: str) -> Any:
    """The new tensor; `declared` is its datatype, empty for the one that fits. Raises InvalidInput."""
    chosen = declared or datatype(given.elements)
    tensor = made.inputs.add(name=name, datatype=chosen, shape=given.shape)
    if chosen == "BYTES":
        tensor.contents.bytes_contents.extend(_bytes(given.elements))
        tensor.parameters["content_type"].string_param = "str"
    elif chosen in ("FP16", "BF16"):
        raise NotImplementedYet(f"input {name!r} is {chosen}, which version 1 lacks: use the Open Inference Protocol")
    else:
        tensor.contents.CopyFrom(contents_of_numbers(chosen, numbers(chosen, given.elements)))
    return tensor


def _bytes(elements: Elements) -> list[bytes]:
    if not all(isinstance(each, bytes) or is_text(each) for each in elements.values):
        raise elements.first_wrong(is_text, "write a string of valid Unicode")
    return [each if isinstance(each, bytes) else each.encode() for each in elements.values]


def answer(response: ModelInferResponse, asked: Message) -> Message:
    """Raises InvalidInput when a tensor of the response contradicts itself."""
    meta = _meta(response, asked)
    found = results(response)
    if not found:
        return Message("", None, meta=meta)
    if len(found) > 1:
        return Message(c.JSON, {name: _rows(each) for name, each in found.items()}, meta=meta)
    tensor, result = response.outputs[0], next(iter(found.values()))
    kind = tensor.parameters[c.KIND].string_param if c.KIND in tensor.parameters else _kind(result, asked.kind)
    if kind not in c.ARRAYS:
        return Message(kind, _single(kind, tensor, result), meta=meta)
    if kind == c.TENSOR and not numeric(result.datatype):
        kind = c.NDARRAY
    return Message(kind, result, _names(tensor, result.shape), meta)


def _meta(response: ModelInferResponse, asked: Message) -> dict[str, Any]:
    if c.META in response.parameters:
        meta: dict[str, Any] = orjson.loads(response.parameters[c.META].string_param)
        return meta
    return {name: asked.meta[name] for name in _KEPT if asked.meta.get(name)}


def _kind(result: Result, asked: str) -> str:
    """Of an answer that does not say: as the question was, as far as it can be."""
    if numeric(result.datatype):
        return asked if asked in c.ARRAYS else c.TENSOR
    single = result.datatype == "BYTES" and len(result.values) == 1
    return asked if single and asked in (c.STRING, c.BINARY) else c.NDARRAY


def _single(kind: str, tensor: Any, result: Result) -> Any:
    only = result.values[0]
    if kind == c.BINARY:
        encoded = "content_type" in tensor.parameters and tensor.parameters["content_type"].string_param == "base64"
        try:
            return base64.b64decode(only, validate=True) if encoded else only
        except binascii.Error as error:
            raise InvalidInput(f"output {tensor.name!r} is no base64: {error}") from None
    return orjson.loads(only) if kind == c.JSON else only.decode(errors="replace")


def _names(tensor: Any, shape: Sequence[int]) -> tuple[str, ...]:
    if c.NAMES in tensor.parameters:
        return tuple(orjson.loads(tensor.parameters[c.NAMES].string_param))
    return tuple(f"t:{column}" for column in range(shape[1])) if len(shape) > 1 else ()


def _rows(result: Result) -> Any:
    return rows(result.values if numeric(result.datatype) else python_values(result), result.shape)


def results(response: ModelInferResponse) -> dict[str, Result]:
    """Every output by its name. Raises InvalidInput when contents do not fit their tensor."""
    found: dict[str, Result] = {}
    raw = iter(response.raw_output_contents)
    for tensor in response.outputs:
        encoded = None if tensor.HasField("contents") else next(raw, None)
        values: Any
        if tensor.datatype == "BYTES":
            values = split_bytes(encoded) if encoded is not None else list(tensor.contents.bytes_contents)
        elif encoded is not None:
            values = numbers_of_raw(tensor.datatype, encoded)
        else:
            values = numbers_of_contents(tensor.datatype, tensor.contents)
        found[tensor.name] = Result(values, list(tensor.shape), tensor.datatype)
    return found
