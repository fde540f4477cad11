"""Inference requests and responses of the Open Inference Protocol between JSON and protobuf, without loss.

Numbers keep every digit, `NaN` and the infinities are the strings "NaN", "Infinity" and "-Infinity" (bare literals
and, for NaN, null are read too). BYTES elements are the UTF-8 of strings; a tensor of a response that holds other bytes
is written in base64, and its parameter `content_type` says so. FP16, BF16 and tensors in binary form have no
typed contents that every server takes, so a request that has any carries all of its tensors raw.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
import orjson
from mlops.v2_dataplane.v2_dataplane_pb2 import InferTensorContents, ModelInferRequest, ModelInferResponse

from shared.errors import InvalidInput
from shared.oip.binary_tensors import SIZE, BinaryOutputs, BinaryPart, join
from shared.oip.json_elements import Elements, flatten, is_text, json_values, numbers, shown, texts, wrong
from shared.oip.tensors import (
    DATATYPES,
    bfloat16,
    contents_of_numbers,
    join_bytes,
    numbers_of_contents,
    numbers_of_raw,
    split_bytes,
    to_raw,
    with_raw,
)

_RAW_ONLY: Final = frozenset({"FP16", "BF16"})
_CONTENT_TYPE: Final = "content_type"
_BASE64: Final = "base64"
"""Value of that parameter of a tensor whose elements are written so because JSON has no bytes."""
_INT64: Final = np.iinfo(np.int64)
_Object: TypeAlias = dict[str, Any]


def request_from_json(
    body: bytes, *, header_length: int | None = None, outputs_as_inputs: bool = False
) -> ModelInferRequest:
    """A request without model name. `header_length` is the length in bytes of the JSON text before binary tensors.

    `outputs_as_inputs` takes the JSON of a response, too, whose outputs then become the inputs. Raises InvalidInput
    that names tensor, field and value for anything that is not a request.
    """
    binary = BinaryPart(body, header_length)
    document = _load(binary.text)
    is_response = outputs_as_inputs and "inputs" not in document and "outputs" in document
    request = ModelInferRequest(id=_text(document, "id", "id"))
    _set_parameters(request.parameters, document, "")
    tensors = _objects(document, "outputs" if is_response else "inputs", required=True)
    raw = _raw_needed(tensors)
    for index, tensor in enumerate(tensors):
        _add_input(request, tensor, index, binary, raw)
    binary.check_empty()
    if not is_response:
        _add_requested_outputs(request, document)
    return request


def _load(text: bytes) -> _Object:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        document = _load_with_literals(text, str(error))
    if not isinstance(document, dict):
        raise wrong("request", document, 'write a JSON object such as {"inputs": [...]}')
    return document


def _load_with_literals(text: bytes, reason: str) -> object:
    """Some clients write NaN and Infinity as if JSON had them."""
    if b"NaN" in text or b"Infinity" in text:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    raise InvalidInput(f"the request is not JSON: {reason}")


def _objects(document: _Object, key: str, required: bool = False) -> list[_Object]:
    entries = document.get(key)
    if entries is None and not required:
        return []
    if not isinstance(entries, list):
        raise wrong(key, entries, "write a list of tensors")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise wrong(f"{key}[{index}]", entry, "write an object with a name")
    return entries


def _raw_needed(tensors: list[_Object]) -> bool:
    for tensor in tensors:
        parameters = tensor.get("parameters")
        datatype = tensor.get("datatype")
        if isinstance(datatype, str) and datatype in _RAW_ONLY:
            return True
        if isinstance(parameters, dict) and SIZE in parameters:
            return True
    return False


def _add_input(request: ModelInferRequest, tensor: _Object, index: int, binary: BinaryPart, raw: bool) -> None:
    name = _text(tensor, "name", f"name of input {index}", required=True)
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise wrong(f"datatype of input {shown(name)}", datatype, f"use one of {', '.join(DATATYPES)}")
    shape = _shape(tensor.get("shape"), name)
    added = request.inputs.add(name=name, datatype=datatype, shape=shape)
    _set_parameters(added.parameters, tensor, f" of input {shown(name)}", without=SIZE)
    parameters, field = tensor.get("parameters") or {}, f"data of input {shown(name)}"
    if SIZE in parameters:
        encoded = binary.take(parameters[SIZE], f"{SIZE} of input {shown(name)}")
        _check_count(_count_raw(datatype, encoded, field), shape, field)
        request.raw_input_contents.append(encoded)
        return
    if "data" not in tensor:
        raise InvalidInput(f"{field} is missing: write {prod(shape)} elements for its shape {shown(shape)}")
    elements = flatten(tensor["data"], field)
    _check_count(len(elements.values), shape, field)
    if raw:
        request.raw_input_contents.append(_raw(datatype, elements))
    else:
        added.contents.MergeFrom(_contents(datatype, elements))


def _check_count(count: int, shape: list[int], field: str) -> None:
    if count != prod(shape):
        raise InvalidInput(f"invalid {field}: it has {count} elements, its shape {shown(shape)} has {prod(shape)}")


def _contents(datatype: str, elements: Elements) -> InferTensorContents:
    if datatype == "BYTES":
        return InferTensorContents(bytes_contents=texts(elements))
    return contents_of_numbers(datatype, numbers(datatype, elements))


def _raw(datatype: str, elements: Elements) -> bytes:
    if datatype == "BYTES":
        return join_bytes(texts(elements))
    values = numbers(datatype, elements)
    return bfloat16(values) if datatype == "BF16" else values.tobytes()


def _count_raw(datatype: str, encoded: bytes, field: str) -> int:
    try:
        return len(split_bytes(encoded) if datatype == "BYTES" else numbers_of_raw(datatype, encoded))
    except InvalidInput as error:
        raise InvalidInput(f"invalid {field}: {error}") from None


def _shape(shape: object, name: str) -> list[int]:
    fix = "write a list of integers, none below 0"
    if not isinstance(shape, list):
        raise wrong(f"shape of input {shown(name)}", shape, fix)
    for size in shape:
        if type(size) is not int or not 0 <= size <= _INT64.max:
            raise wrong(f"shape of input {shown(name)}", shape, fix)
    return shape


def _add_requested_outputs(request: ModelInferRequest, document: _Object) -> None:
    for index, output in enumerate(_objects(document, "outputs")):
        name = _text(output, "name", f"name of output {index}", required=True)
        _set_parameters(request.outputs.add(name=name).parameters, output, f" of output {shown(name)}")


def _text(owner: _Object, key: str, field: str, required: bool = False) -> str:
    text = owner.get(key)
    if text is None and not required:
        return ""
    if not is_text(text):
        raise wrong(field, text, "write a string")
    return text


def _set_parameters(target: Any, owner: _Object, of: str, without: str = "") -> None:
    parameters = owner.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise wrong(f"parameters{of}", parameters, "write an object")
    for key, value in parameters.items():
        if key != without:
            _set_parameter(target, key, value, of)


def _set_parameter(target: Any, key: str, value: object, of: str) -> None:
    if not is_text(key):
        raise wrong(f"parameter name{of}", key, "use valid Unicode")
    field = f"parameter {shown(key)}{of}"
    if isinstance(value, bool):
        target[key].bool_param = value
    elif is_text(value):
        target[key].string_param = value
    elif isinstance(value, int | float) and _INT64.min <= value <= _INT64.max and value == int(value):
        target[key].int64_param = int(value)
    elif isinstance(value, float):
        # Servers know no parameter of this kind: one without its fraction would be another.
        raise wrong(field, value, "write an integer of 64 bits, or the fraction as a string")
    elif value is not None:
        raise wrong(field, value, "write a string, a boolean or an integer of 64 bits")


def response_to_json(response: ModelInferResponse) -> bytes:
    """The JSON text of a response, its data flat. Raises InvalidInput when a tensor contradicts itself."""
    return _encode(response, BinaryOutputs())[0]


def response_to_binary(response: ModelInferResponse, wanted: BinaryOutputs) -> tuple[bytes, int | None]:
    """The JSON text with the wanted outputs as bytes behind it, and the text's length; None when there are none.

    Raises InvalidInput when a tensor contradicts itself.
    """
    text, tensors = _encode(response, wanted)
    return join(text, tensors)


def _encode(response: ModelInferResponse, wanted: BinaryOutputs) -> tuple[bytes, list[bytes]]:
    binary: list[bytes] = []
    document: _Object = {"model_name": response.model_name}
    fields = (
        ("model_version", response.model_version),
        ("id", response.id),
        ("parameters", _parameters(response.parameters)),
        (
            "outputs",
            [_output(*each, wanted, binary) for each in with_raw(response.outputs, response.raw_output_contents)],
        ),
    )
    document.update((name, value) for name, value in fields if value)
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), binary


def _output(tensor: Any, raw: bytes | None, wanted: BinaryOutputs, binary: list[bytes]) -> _Object:
    parameters = _parameters(tensor.parameters)
    output: _Object = {}
    try:
        if wanted.includes(tensor.name):
            encoded = raw if raw is not None else to_raw(tensor.datatype, tensor.contents)
            binary.append(encoded)
            parameters[SIZE] = len(encoded)
        else:
            output["data"], is_text = _data(tensor, raw)
            if not is_text:
                parameters[_CONTENT_TYPE] = _BASE64
    except InvalidInput as error:
        raise InvalidInput(f"output {shown(tensor.name)}: {error}") from None
    output |= {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}
    if parameters:
        output["parameters"] = parameters
    return output


def _data(tensor: Any, raw: bytes | None) -> tuple[object, bool]:
    """The elements, and whether they are themselves: bytes that are no text are in base64."""
    if tensor.datatype != "BYTES":
        if raw is None:
            return json_values(numbers_of_contents(tensor.datatype, tensor.contents)), True
        return json_values(numbers_of_raw(tensor.datatype, raw)), True
    elements: Sequence[bytes] = tensor.contents.bytes_contents if raw is None else split_bytes(raw)
    try:
        return [element.decode() for element in elements], True
    except UnicodeDecodeError:
        return [b64encode(element).decode() for element in elements], False


def _parameters(parameters: Any) -> _Object:
    """Sorted by name: their order in the message means nothing."""
    choices = ((name, parameters[name], parameters[name].WhichOneof("parameter_choice")) for name in sorted(parameters))
    return {name: getattr(parameter, choice) for name, parameter, choice in choices if choice is not None}
