"""Protobuf fields without their messages: where they are in the bytes, and how to write them."""

from collections.abc import Iterator
from typing import Final

from shared.errors import InvalidInput
from shared.oip.rename import varint

__all__ = ["SHORT", "delimited", "fields", "read_varint", "varint"]

VARINT: Final = 0
FIXED64: Final = 1
LENGTH_DELIMITED: Final = 2
FIXED32: Final = 5
_LONGEST_VARINT: Final = 10

SHORT: Final = tuple(varint(value) for value in range(1024))
"""Lengths that occur most."""


def delimited(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends. Raises InvalidInput when it is cut short."""
    value = 0
    for count, byte in enumerate(data[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, position + count + 1
    raise InvalidInput("not a protobuf message: a number is cut short or too long")


def fields(data: bytes, position: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """Tag, start of the field, and start and end of its content. Raises InvalidInput for what is no message."""
    while position < len(data):
        begin = position
        tag, position = read_varint(data, position)
        wire_type = tag & 7
        if wire_type == LENGTH_DELIMITED:
            length, position = read_varint(data, position)
            end = position + length
        elif wire_type == VARINT:
            _, end = read_varint(data, position)
        elif wire_type in (FIXED64, FIXED32):
            end = position + (8 if wire_type == FIXED64 else 4)
        else:
            raise InvalidInput(f"not a protobuf message: wire type {wire_type}")
        if end > len(data) or tag < 8:
            raise InvalidInput("not a protobuf message: a field is cut short or has no number")
        yield tag, begin, position, end
        position = end
