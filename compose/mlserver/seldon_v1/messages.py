"""Between MLServer's requests and responses and what a version 1 class is given and gives back."""

import base64
import json
from typing import Any, Final

import numpy as np
from mlserver.types import Parameters, RequestInput, ResponseOutput

from . import convention as c
from .user_class import as_array

_DTYPES: Final = {
    "BOOL": "bool", "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8", "INT8": "i1", "INT16": "i2",
    "INT32": "i4", "INT64": "i8", "FP16": "f2", "FP32": "f4", "FP64": "f8",
}  # fmt: skip
_DATATYPES: Final = {np.dtype(dtype): datatype for datatype, dtype in _DTYPES.items()}


def parameter(owner: Any, name: str) -> Any:
    """Of a request or a tensor; None when it has none."""
    return getattr(owner.parameters, name, None) if owner.parameters is not None else None


def features(tensor: RequestInput) -> Any:
    """The payload as version 1 hands it over: an array, str, bytes or what JSON says."""
    kind = parameter(tensor, c.KIND)
    data = tensor.data.root
    if kind in (c.STRING, c.BINARY, c.JSON):
        only = data[0] if isinstance(data, list) else data
        if kind == c.BINARY:
            return base64.b64decode(only) if isinstance(only, str) else bytes(only)
        text = only.decode() if isinstance(only, bytes) else only
        return json.loads(text) if kind == c.JSON else text
    if tensor.datatype == "BYTES":
        texts = [each.decode() if isinstance(each, bytes) else each for each in np.ravel(np.array(data, object))]
        return np.array(texts).reshape(tensor.shape)
    return np.array(data, dtype=_DTYPES[tensor.datatype]).reshape(tensor.shape)


def names(tensor: RequestInput) -> list[str]:
    written = parameter(tensor, c.NAMES)
    return list(json.loads(written)) if written else []


def output(data: Any, class_names: Any, asked_in: str | None) -> ResponseOutput:
    """`asked_in` is the kind of the request's payload; `class_names` gives the names for an answer's shape."""
    if isinstance(data, dict):
        return _text(json.dumps(data, default=plain).encode(), c.JSON, "str")
    if isinstance(data, str):
        return _text(data.encode(), c.STRING, "str")
    if isinstance(data, bytes | bytearray):
        # As text, because REST has nothing else, and marked so.
        return _text(base64.b64encode(data), c.BINARY, "base64")
    array = as_array(data)
    is_number = np.issubdtype(array.dtype, np.number)
    asked = asked_in or c.TENSOR
    kind = (c.TENSOR if asked not in (c.NDARRAY, c.TFTENSOR) else asked) if is_number else c.NDARRAY
    texts = array.dtype.kind in "US"
    written = Parameters(**{c.KIND: kind, c.NAMES: json.dumps(class_names(array.shape))})
    if texts:
        written.content_type = "str"
    elif array.dtype.newbyteorder("=") not in _DATATYPES:
        array = array.astype("f8")
    return ResponseOutput(
        name="output",
        shape=list(array.shape),
        datatype="BYTES" if texts else _DATATYPES[array.dtype.newbyteorder("=")],
        data=[_bytes_of(each) for each in array.ravel().tolist()] if texts else array.ravel().tolist(),
        parameters=written,
    )


def _text(text: bytes, kind: str, content_type: str) -> ResponseOutput:
    written = Parameters(content_type=content_type, **{c.KIND: kind})
    return ResponseOutput(name="output", shape=[1], datatype="BYTES", data=[text], parameters=written)


def _bytes_of(element: Any) -> bytes:
    # gRPC takes nothing else, and REST makes text of it.
    return element if isinstance(element, bytes) else str(element).encode()


def plain(value: Any) -> Any:
    """numpy's values in a dict, as JSON has them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
