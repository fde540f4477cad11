"""Tensor contents of the Open Inference Protocol: raw little-endian bytes to typed contents, and back."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from mlops.v2_dataplane.v2_dataplane_pb2 import InferTensorContents, ModelInferRequest, ModelInferResponse

from shared.errors import InvalidInput
from shared.oip.rename import varint

_CONTENT_FIELD: Final = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP16": "fp32_contents",
    "BF16": "fp32_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
NUMPY_TYPE: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    # numpy has no bfloat16: its two bytes are the upper half of a float32.
    "BF16": np.dtype("<u2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_LENGTH_PREFIX: Final = 4

DATATYPES: Final = tuple(_CONTENT_FIELD)

Numbers: TypeAlias = np.ndarray[Any, Any]
"""The elements of a tensor that are not BYTES, flat."""


def content_field(datatype: str) -> str:
    """The field of `InferTensorContents` that holds elements of `datatype`. Raises InvalidInput when unknown."""
    try:
        return _CONTENT_FIELD[datatype]
    except KeyError:
        raise InvalidInput.of_field("datatype", datatype, f"use one of {', '.join(DATATYPES)}") from None


def from_raw(datatype: str, raw: bytes) -> InferTensorContents:
    """Typed contents of raw ones. BYTES elements are each preceded by their length in four bytes.

    Raises InvalidInput when the datatype is unknown or the bytes are no whole number of elements.
    """
    if datatype == "BYTES":
        return InferTensorContents(bytes_contents=split_bytes(raw))
    return contents_of_numbers(datatype, numbers_of_raw(datatype, raw))


def to_raw(datatype: str, contents: InferTensorContents) -> bytes:
    """Raw contents of typed ones; the inverse of `from_raw`, up to the rounding of FP16 and BF16.

    Raises InvalidInput when the datatype is unknown or an element does not fit it.
    """
    if datatype == "BYTES":
        return join_bytes(contents.bytes_contents)
    numbers = numbers_of_contents(datatype, contents)
    return bfloat16(numbers) if datatype == "BF16" else numbers.tobytes()


def type_outputs(response: ModelInferResponse) -> ModelInferResponse:
    """A copy of `response` whose raw outputs are typed contents. Raises InvalidInput when they do not fit together."""
    typed = ModelInferResponse()
    typed.CopyFrom(response)
    _fill(typed.outputs, response.raw_output_contents)
    typed.ClearField("raw_output_contents")
    return typed


def type_inputs(request: ModelInferRequest) -> ModelInferRequest:
    """A copy of `request` whose raw inputs are typed contents. Raises InvalidInput when they do not fit together."""
    typed = ModelInferRequest()
    typed.CopyFrom(request)
    _fill(typed.inputs, request.raw_input_contents)
    typed.ClearField("raw_input_contents")
    return typed


def raw_inputs(request: ModelInferRequest) -> ModelInferRequest:
    """A copy of `request` whose typed inputs are raw contents. Raises InvalidInput when they do not fit together."""
    made = ModelInferRequest()
    made.CopyFrom(request)
    made.ClearField("raw_input_contents")
    for tensor, raw in with_raw(made.inputs, request.raw_input_contents):
        made.raw_input_contents.append(to_raw(tensor.datatype, tensor.contents) if raw is None else raw)
        tensor.ClearField("contents")
    return made


def with_raw(tensors: Sequence[Any], raw_contents: Sequence[bytes]) -> list[tuple[Any, bytes | None]]:
    """Each tensor with its raw contents, if it has some; they belong, in order, to those without typed ones, or to all.

    Raises InvalidInput when there are more or fewer.
    """
    waiting = [not tensor.HasField("contents") for tensor in tensors]
    if raw_contents and len(raw_contents) == len(tensors):
        waiting = [True] * len(waiting)
    elif raw_contents and len(raw_contents) != sum(waiting):
        raise InvalidInput(f"{len(raw_contents)} raw contents for {sum(waiting)} tensors without contents")
    raw = iter(raw_contents)
    return [(tensor, next(raw, None) if waits else None) for tensor, waits in zip(tensors, waiting, strict=True)]


def _fill(tensors: Sequence[Any], raw_contents: Sequence[bytes]) -> None:
    """As `with_raw` says; typed contents stay. MLServer writes empty ones beside raw ones."""
    for tensor, raw in with_raw(tensors, raw_contents):
        if raw is not None and not tensor.contents.ByteSize():
            tensor.contents.CopyFrom(from_raw(tensor.datatype, raw))


def numbers_of_raw(datatype: str, raw: bytes) -> Numbers:
    """The elements of raw contents of any datatype but BYTES. Raises InvalidInput as `from_raw` does."""
    content_field(datatype)
    dtype = NUMPY_TYPE[datatype]
    if len(raw) % dtype.itemsize:
        raise InvalidInput(f"invalid {datatype} raw contents: {len(raw)} bytes are no multiple of {dtype.itemsize}")
    if datatype == "BOOL":
        truths: Numbers = np.frombuffer(raw, "u1") != 0
        return truths
    numbers = np.frombuffer(raw, dtype)
    if datatype == "BF16":
        return (numbers.astype("<u4") << 16).view("<f4")
    return numbers


def numbers_of_contents(datatype: str, contents: InferTensorContents) -> Numbers:
    """The elements of typed contents of any datatype but BYTES; those of BF16 as FP32. Raises InvalidInput."""
    field = content_field(datatype)
    dtype = np.dtype("<f4") if datatype == "BF16" else NUMPY_TYPE[datatype]
    unpacked = _unpack(field, contents)
    # A list of Python numbers: numpy checks their range, which it does not for the protobuf container.
    numbers = unpacked if unpacked is not None else list(getattr(contents, field))
    try:
        with np.errstate(over="ignore"):  # a float beyond FP16 is infinite, as it would be on the server
            return np.asarray(numbers, dtype)
    except OverflowError as error:
        raise InvalidInput(f"invalid {datatype} contents: {error}") from None


def contents_of_numbers(datatype: str, numbers: Numbers) -> InferTensorContents:
    """Typed contents of elements that have the numpy type of `datatype`."""
    field = content_field(datatype)
    packed = _pack(field, numbers)
    if packed is None:
        packed = InferTensorContents()
        getattr(packed, field).extend(numbers.tolist())
    return packed


def bfloat16(numbers: Numbers) -> bytes:
    """Raw BF16 contents of float32 elements: rounded to nearest even; NaN stays NaN."""
    bits = numbers.view("<u4").astype("<u8")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(numbers), (bits >> 16) | 0x40, rounded).astype("<u2").tobytes()


def split_bytes(raw: bytes) -> list[bytes]:
    """The elements of raw BYTES contents. Raises InvalidInput when one is cut short."""
    elements = []
    position = 0
    while position < len(raw):
        start = position + _LENGTH_PREFIX
        position = start + int.from_bytes(raw[position:start], "little")
        if start > len(raw) or position > len(raw):
            raise InvalidInput(f"invalid BYTES raw contents: the element at byte {start} is cut short")
        elements.append(raw[start:position])
    return elements


def join_bytes(elements: Iterable[bytes]) -> bytes:
    """Raw BYTES contents; the inverse of `split_bytes`."""
    return b"".join(len(each).to_bytes(_LENGTH_PREFIX, "little") + each for each in elements)


# Packed fields whose bytes on the wire are the elements as they lie in memory, by the tag before them.
_AS_IN_MEMORY: Final = {
    "bool_contents": (b"\x0a", np.dtype(np.bool_)),
    "fp32_contents": (b"\x32", np.dtype("<f4")),
    "fp64_contents": (b"\x3a", np.dtype("<f8")),
}


def _pack(field: str, numbers: Numbers) -> InferTensorContents | None:
    """Contents without a Python object per element; None where their encoding is another."""
    if field not in _AS_IN_MEMORY:
        return None
    tag, dtype = _AS_IN_MEMORY[field]
    elements = numbers.astype(dtype, copy=False).tobytes()
    return InferTensorContents.FromString(tag + varint(len(elements)) + elements) if elements else InferTensorContents()


def _unpack(field: str, contents: InferTensorContents) -> Numbers | None:
    """The inverse of `_pack`; None when there is more in `contents` than this field."""
    if field not in _AS_IN_MEMORY or [each.name for each, _ in contents.ListFields()] != [field]:
        return None
    tag, dtype = _AS_IN_MEMORY[field]
    size = len(getattr(contents, field)) * dtype.itemsize
    wire = contents.SerializeToString()
    prefix = tag + varint(size)
    # Fields that this program does not know stay in a message and would be serialised too.
    return np.frombuffer(wire, dtype, offset=len(prefix)) if len(wire) == len(prefix) + size else None
