"""TensorFlow Serving's predictions, in JSON and in protobuf, as requests of the Open Inference Protocol and back."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse
from version1 import predict_pb2 as pb

from services.v1gateway.core import oip, tensor_proto
from services.v1gateway.core.message import Array, Result, array, numeric, python_values, rows, text
from services.v1gateway.core.oip import INPUT, Declared, add_array
from services.v1gateway.core.seldon_json import load
from shared.errors import InvalidInput
from shared.oip.json_elements import Elements, shown, wrong

_B64: Final = "b64"
_BYTES_NAME: Final = "_bytes"
"""Outputs whose names end so are binary."""


@dataclass(frozen=True, slots=True)
class Question:
    """Tensors by name; the empty name stands for the only input of a model. `by_row` tells the form of the answer."""

    inputs: Mapping[str, Array]
    by_row: bool


def read(body: bytes) -> Question:
    """The body of a REST request. Raises InvalidInput that names field and value."""
    document = load(body)
    present = [name for name in ("instances", "inputs") if name in document]
    if len(present) != 1:
        found = " and ".join(present) or "none"
        raise InvalidInput(
            f'invalid request: write one of instances and inputs, not {found}: {{"instances": [1.0, 2.0]}}'
        )
    (name,) = present
    value = _decoded(document[name], name) if _B64.encode() in body else document[name]
    if name == "inputs":
        named = value if isinstance(value, Mapping) else {"": value}
        return Question({each: _tensor(data, f"inputs.{each}".rstrip(".")) for each, data in named.items()}, False)
    if not isinstance(value, list) or not value:
        raise wrong("instances", value, "write a list with an entry for each row")
    if isinstance(value[0], dict):
        return Question(_columns(value), True)
    return Question({"": array(value, "instances")}, True)


def _columns(instances: list[Any]) -> dict[str, Array]:
    names = list(instances[0])
    for index, row in enumerate(instances):
        if not isinstance(row, dict) or row.keys() != instances[0].keys():
            raise wrong(f"instances[{index}]", row, f"write an object with {', '.join(names)}, as in the first row")
    return {name: array([row[name] for row in instances], f"instances.{name}") for name in names}


def _tensor(data: object, field: str) -> Array:
    # A tensor without dimensions is one bare value.
    if isinstance(data, list):
        return array(data, field)
    return Array(Elements([data], frozenset({type(data)}), field), [])


def _decoded(value: Any, field: str) -> Any:
    if isinstance(value, list):
        return [_decoded(each, field) for each in value]
    if isinstance(value, dict):
        if set(value) == {_B64}:
            try:
                return base64.b64decode(value[_B64], validate=True)
            except (binascii.Error, ValueError, TypeError):
                raise wrong(f"{field}.{_B64}", value[_B64], "write a string in base64") from None
        return {name: _decoded(each, field) for name, each in value.items()}
    return value


def request(question: Question, declared: Declared) -> ModelInferRequest:
    """`declared` are the model's inputs, as far as it says. Raises InvalidInput where these do not fit."""
    made = ModelInferRequest()
    expected = {tensor.name: tensor.datatype for tensor in declared}
    for name, given in question.inputs.items():
        wanted = name or _only(expected)
        if expected and wanted not in expected:
            raise InvalidInput(f"invalid input {shown(name)}: the model takes {', '.join(expected)}")
        add_array(made, wanted, given, expected.get(wanted, ""))
    return made


def _only(expected: Mapping[str, str]) -> str:
    if len(expected) > 1:
        raise InvalidInput(f"the model takes {len(expected)} tensors: write each under its name, {', '.join(expected)}")
    return next(iter(expected), INPUT)


def write(response: ModelInferResponse, by_row: bool) -> bytes:
    """The body of a REST answer. Raises InvalidInput when outputs asked for by row have no rows in common."""
    found = oip.results(response)
    if not by_row:
        document: Any = {"outputs": _one_or_all({name: _rows(name, result) for name, result in found.items()})}
    elif len(found) == 1:
        document = {"predictions": _rows(*next(iter(found.items())))}
    else:
        document = {"predictions": _by_row(found)}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _one_or_all(outputs: dict[str, Any]) -> Any:
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _by_row(found: dict[str, Result]) -> list[dict[str, Any]]:
    counts = {result.shape[0] if result.shape else None for result in found.values()}
    if len(counts) != 1 or None in counts:
        raise InvalidInput("the outputs have no rows in common: ask with inputs in place of instances")
    listed = {name: list(_rows(name, result)) for name, result in found.items()}
    return [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]


def _rows(name: str, result: Result) -> Any:
    if result.datatype == "BYTES":
        return rows([_written(name, each) for each in result.values], result.shape)
    return rows(result.values if numeric(result.datatype) else python_values(result), result.shape)


def _written(name: str, value: Any) -> Any:
    return {_B64: base64.b64encode(value).decode()} if name.endswith(_BYTES_NAME) else text(value)


def question_of(message: pb.PredictRequest) -> Question:
    """Of a gRPC call. Raises InvalidInput."""
    if not message.inputs:
        raise InvalidInput("invalid inputs: the request has none")
    return Question({name: tensor_proto.read(each, f"inputs.{name}") for name, each in message.inputs.items()}, False)


def answer_of(response: ModelInferResponse, asked: pb.PredictRequest, version: str) -> pb.PredictResponse:
    """For a gRPC caller, with the outputs that it wanted. Raises InvalidInput for one that is not there."""
    found = oip.results(response)
    for name in asked.output_filter:
        if name not in found:
            raise InvalidInput(f"invalid output_filter {name!r}: the model answers with {', '.join(found)}")
    made = pb.PredictResponse()
    made.model_spec.name = asked.model_spec.name
    if version.isdecimal():
        made.model_spec.version.value = int(version)
    for name in asked.output_filter or found:
        made.outputs[name].CopyFrom(tensor_proto.write(found[name]))
    return made


def failure(sentence: str) -> bytes:
    return orjson.dumps({"error": sentence})


def status(version: str) -> dict[str, Any]:
    """What TensorFlow Serving tells of a model that answers."""
    entry = {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return {"model_version_status": [entry]}


def metadata(name: str, version: str, inputs: Declared, outputs: Declared) -> dict[str, Any]:
    """One signature with the tensors that the model declares."""
    signature = {
        "inputs": {each.name: _described(each) for each in inputs},
        "outputs": {each.name: _described(each) for each in outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


def _described(tensor: Any) -> dict[str, Any]:
    shape = {"dim": [{"size": str(size), "name": ""} for size in tensor.shape], "unknown_rank": False}
    return {"dtype": tensor_proto.type_name(tensor.datatype), "tensor_shape": shape, "name": tensor.name}
