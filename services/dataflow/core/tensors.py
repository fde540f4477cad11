"""One tensor of an inference message as bytes; input and output tensors have the same fields."""

from dataclasses import dataclass
from typing import Final

from mlops.v2_dataplane.v2_dataplane_pb2 import InferTensorContents

from services.dataflow.core import wire
from shared.errors import InvalidInput
from shared.oip.tensors import to_raw

_NAME: Final = 0x0A
_DATATYPE: Final = 0x12
_DIMENSION: Final = 0x18
_SHAPE: Final = 0x1A
_PARAMETER: Final = 0x22
_CONTENTS: Final = 0x2A


@dataclass(slots=True)
class Tensor:
    name: bytes
    datatype: bytes
    shape: list[int]
    parameters: list[bytes]
    contents: bytes | None
    """Typed contents, encoded; None when there are none or they are raw, beside the tensor."""

    @property
    def rows(self) -> int:
        """Along dimension 0; a scalar is one row."""
        return self.shape[0] if self.shape else 1

    def encoded(self) -> bytes:
        parts = [wire.delimited(b"\x0a", self.name), wire.delimited(b"\x12", self.datatype)]
        if self.shape:
            shape = b"".join(wire.varint(dimension & 0xFFFFFFFFFFFFFFFF) for dimension in self.shape)
            parts.append(wire.delimited(b"\x1a", shape))
        parts += [wire.delimited(b"\x22", parameter) for parameter in self.parameters]
        if self.contents is not None:
            parts.append(wire.delimited(b"\x2a", self.contents))
        return b"".join(parts)


def name_of(tensor: bytes) -> bytes:
    """Raises InvalidInput when the bytes are no tensor."""
    # Nearly always the name is the first field, and short.
    if len(tensor) > 1 and tensor[0] == _NAME and tensor[1] < 0x80 and tensor[1] + 2 <= len(tensor):
        return tensor[2 : tensor[1] + 2]
    name = b""
    for tag, _, start, end in wire.fields(tensor):
        if tag == _NAME:
            name = tensor[start:end]
    return name


def renamed(tensor: bytes, name: bytes) -> bytes:
    """The same tensor under another name. Raises InvalidInput when the bytes are no tensor."""
    if len(tensor) > 1 and tensor[0] == _NAME and tensor[1] < 0x80:
        return wire.delimited(b"\x0a", name) + tensor[tensor[1] + 2 :]
    kept = [tensor[begin:end] for tag, begin, _, end in wire.fields(tensor) if tag != _NAME]
    return b"".join([wire.delimited(b"\x0a", name), *kept])


def has_contents(tensor: bytes) -> bool:
    """Raises InvalidInput when the bytes are no tensor."""
    return any(tag == _CONTENTS for tag, *_ in wire.fields(tensor))


def without_contents(tensor: bytes) -> bytes:
    return b"".join(tensor[begin:end] for tag, begin, _, end in wire.fields(tensor) if tag != _CONTENTS)


def parse(tensor: bytes) -> Tensor:
    """Raises InvalidInput when the bytes are no tensor."""
    parsed = Tensor(b"", b"", [], [], None)
    for tag, _, start, end in wire.fields(tensor):
        content = tensor[start:end]
        if tag == _NAME:
            parsed.name = content
        elif tag == _DATATYPE:
            parsed.datatype = content
        elif tag == _DIMENSION:
            parsed.shape.append(_signed(wire.read_varint(tensor, start)[0]))
        elif tag == _SHAPE:
            position = 0
            while position < len(content):
                dimension, position = wire.read_varint(content, position)
                parsed.shape.append(_signed(dimension))
        elif tag == _PARAMETER:
            parsed.parameters.append(content)
        elif tag == _CONTENTS:
            # A message that occurs twice is the two put together, and so are their encodings.
            parsed.contents = (parsed.contents or b"") + content
    return parsed


def raw_of(tensor: Tensor) -> bytes:
    """Raw contents of a tensor with typed ones. Raises InvalidInput when it does not fit its datatype."""
    datatype = tensor.datatype.decode(errors="replace")
    try:
        contents = InferTensorContents.FromString(tensor.contents or b"")
    except ValueError:  # what protobuf raises for bytes that are no message
        raise InvalidInput(f"the contents of tensor {tensor.name.decode(errors='replace')} are unreadable") from None
    return to_raw(datatype, contents)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
