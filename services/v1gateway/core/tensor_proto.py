"""TensorFlow's TensorProto: arrays as messages, and back."""

from math import prod
from typing import Any, Final

import numpy as np
from google.protobuf import json_format
from version1 import tensor_pb2, types_pb2

from services.v1gateway.core.message import Array, Result
from shared.errors import InvalidInput
from shared.oip.json_elements import Elements, wrong
from shared.oip.tensors import NUMPY_TYPE

_FIELDS: Final = {
    "BOOL": ("DT_BOOL", "bool_val"),
    "UINT8": ("DT_UINT8", "int_val"),
    "UINT16": ("DT_UINT16", "int_val"),
    "UINT32": ("DT_UINT32", "uint32_val"),
    "UINT64": ("DT_UINT64", "uint64_val"),
    "INT8": ("DT_INT8", "int_val"),
    "INT16": ("DT_INT16", "int_val"),
    "INT32": ("DT_INT32", "int_val"),
    "INT64": ("DT_INT64", "int64_val"),
    "FP32": ("DT_FLOAT", "float_val"),
    "FP64": ("DT_DOUBLE", "double_val"),
    "BYTES": ("DT_STRING", "string_val"),
}
_DATATYPE: Final = {types_pb2.DataType.Value(name): datatype for datatype, (name, _) in _FIELDS.items()}
_PYTHON: Final = {"b": bool, "i": int, "u": int, "f": float}


def read(tensor: tensor_pb2.TensorProto, field: str) -> Array:
    """`field` names it in errors. A single value stands for all of them. Raises InvalidInput."""
    shape = [int(dimension.size) for dimension in tensor.tensor_shape.dim]
    datatype = _DATATYPE.get(tensor.dtype)
    if datatype is None:
        raise wrong(f"{field}.dtype", tensor.dtype, f"use one of {', '.join(name for name, _ in _FIELDS.values())}")
    if min(shape, default=0) < 0:
        raise wrong(f"{field}.tensor_shape", shape, "write sizes that are not below 0")
    values = _values(tensor, datatype, field)
    if len(values) == 1 and prod(shape) > 1:
        values = values * prod(shape)
    if len(values) != prod(shape):
        raise InvalidInput(f"invalid {field}: it has {len(values)} values, its shape {shape} has {prod(shape)}")
    kind = bytes if datatype == "BYTES" else _PYTHON[NUMPY_TYPE[datatype].kind]
    return Array(Elements(values, frozenset({kind}), field), shape)


def _values(tensor: tensor_pb2.TensorProto, datatype: str, field: str) -> list[Any]:
    if tensor.tensor_content and datatype != "BYTES":
        dtype = NUMPY_TYPE[datatype]
        if len(tensor.tensor_content) % dtype.itemsize:
            raise InvalidInput(f"invalid {field}.tensor_content: no whole number of {datatype} elements")
        read: list[Any] = np.frombuffer(tensor.tensor_content, dtype).tolist()
        return read
    return list(getattr(tensor, _FIELDS[datatype][1]))


def write(result: Result) -> tensor_pb2.TensorProto:
    if result.datatype not in _FIELDS:
        raise InvalidInput(f"the answer is {result.datatype}, which has no form in TensorFlow's protocol")
    name, field = _FIELDS[result.datatype]
    made = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(name))
    for size in result.shape:
        made.tensor_shape.dim.add(size=size)
    values = result.values.tolist() if isinstance(result.values, np.ndarray) else result.values
    getattr(made, field).extend(values)
    return made


def from_json(value: object, field: str) -> Array:
    """protobuf's own JSON form. Raises InvalidInput."""
    if not isinstance(value, dict):
        raise wrong(field, value, 'write an object with "dtype", "tensorShape" and its values')
    try:
        tensor = json_format.ParseDict(value, tensor_pb2.TensorProto())
    except json_format.ParseError as error:
        raise InvalidInput(f"invalid {field}: {error}") from None
    return read(tensor, field)


def to_json(result: Result) -> dict[str, Any]:
    made: dict[str, Any] = json_format.MessageToDict(write(result))
    return made


def type_name(datatype: str) -> str:
    """TensorFlow's name of a datatype."""
    return _FIELDS[datatype][0] if datatype in _FIELDS else "DT_INVALID"
