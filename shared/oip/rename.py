"""Give an inference message another model name without decoding its tensors."""

_NAME_TAG = b"\x0a"  # field 1, length-delimited
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_NAME_FIELD, _VERSION_FIELD = 1, 2


def rename(message: bytes, internal: str) -> bytes:
    """The same message with field 1 (the model's name) set to `internal` and field 2 (its version) left out.

    Fits ModelInferRequest, ModelMetadataRequest and ModelReadyRequest, whose first two fields are alike. All other
    fields keep their bytes. Raises ValueError when `message` is not a protobuf message.
    """
    kept: list[bytes] = []
    name = internal.encode()
    start = position = 0
    while position < len(message):
        field_start = position
        tag, position = _read_varint(message, position)
        wire_type = tag & 7
        position = _skip(message, position, wire_type)
        if tag >> 3 in (_NAME_FIELD, _VERSION_FIELD) and wire_type == _LENGTH_DELIMITED:
            kept.append(message[start:field_start])
            start = position
    kept.append(message[start:])
    return b"".join([_NAME_TAG, varint(len(name)), name, *kept])


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("not a protobuf message: a number is cut short or too long")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _skip(message: bytes, position: int, wire_type: int) -> int:
    if wire_type == _LENGTH_DELIMITED:
        length, position = _read_varint(message, position)
        position += length
    elif wire_type == _VARINT:
        _, position = _read_varint(message, position)
    elif wire_type == _FIXED64:
        position += 8
    elif wire_type == _FIXED32:
        position += 4
    else:
        raise ValueError(f"not a protobuf message: wire type {wire_type}")
    if position > len(message):
        raise ValueError("not a protobuf message: a field is cut short")
    return position


def varint(value: int) -> bytes:
    """A number that is not negative, as protobuf writes it."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
