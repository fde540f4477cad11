"""Inference requests and responses as records carry them: split into fields, with tensors left as bytes.

Requests and responses share the numbers of their fields but for raw contents: 7 in requests, 6 in responses.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from services.dataflow.core import tensors, wire
from services.dataflow.core.wire import SHORT, varint
from shared.errors import InvalidInput
from shared.kafka.framing import message_start

_ID: Final = 0x1A
_PARAMETERS: Final = 0x22
_TENSORS: Final = 0x2A
_RAW_OUTPUTS: Final = 0x32
_RAW_INPUTS: Final = 0x3A
_REQUESTED: Final = 0x32
"""Where responses have raw outputs, requests name the outputs that are wanted."""


class Message:
    """Either all contents are raw, one of `raws` for each tensor, or `raws` is empty and tensors hold their own.

    `requested` are the outputs that a request asks for; none means all.
    """

    __slots__ = ("id", "parameters", "raws", "requested", "tensors")

    def __init__(
        self,
        id: bytes,
        parameters: list[bytes],
        tensors: list[bytes],
        raws: list[bytes],
        requested: Sequence[bytes] = (),
    ) -> None:
        self.requested = requested
        self.id = id
        self.parameters = parameters
        self.tensors = tensors
        self.raws = raws

    def select(self, wanted: frozenset[bytes] | None, renames: Mapping[bytes, bytes]) -> "Message | None":
        """Only the wanted tensors, in their order here, under new names; None when nothing is left.

        Raises InvalidInput when a tensor is unreadable.
        """
        if wanted is None and not renames:
            return self if self.tensors else None
        kept, raws = [], []
        for index, tensor in enumerate(self.tensors):
            name = tensors.name_of(tensor)
            if wanted is not None and name not in wanted:
                continue
            new_name = renames.get(name)
            kept.append(tensor if new_name is None else tensors.renamed(tensor, new_name))
            if self.raws:
                raws.append(self.raws[index])
        return Message(self.id, self.parameters, kept, raws, self.requested) if kept else None

    def has(self, wanted: frozenset[bytes] | None) -> bool:
        """Is a wanted tensor there? Raises InvalidInput when a tensor is unreadable."""
        if wanted is None:
            return bool(self.tensors)
        return any(tensors.name_of(tensor) in wanted for tensor in self.tensors)

    def encoded(self, *, is_request: bool) -> bytes:
        parts: list[bytes] = []
        if self.id:
            parts += (b"\x1a", varint(len(self.id)), self.id)
        for parameter in self.parameters:
            parts += (b"\x22", varint(len(parameter)), parameter)
        for tensor in self.tensors:
            length = len(tensor)
            parts += (b"\x2a", SHORT[length] if length < 1024 else varint(length), tensor)
        if is_request:
            for output in self.requested:
                parts += (b"\x32", varint(len(output)), output)
        tag = b"\x3a" if is_request else b"\x32"
        for raw in self.raws:
            length = len(raw)
            parts += (tag, SHORT[length] if length < 1024 else varint(length), raw)
        return b"".join(parts)


def parse(data: bytes | None, *, is_request: bool) -> Message:
    """Raises InvalidInput when the record holds no such message, or its raw contents do not fit its tensors."""
    if data is None:
        raise InvalidInput("the record has no value")
    id, parameters, found, raws, requested = b"", [], [], [], []
    raw_tag = _RAW_INPUTS if is_request else _RAW_OUTPUTS
    end = len(data)
    position = message_start(data)
    # The loop of `wire.fields`, for the few fields there are: it runs for every record.
    while position < end:
        tag = data[position]
        if tag & 7 != wire.LENGTH_DELIMITED or tag > _RAW_INPUTS or position + 1 == end:
            position = _after_unknown(data, position)
            continue
        length = data[position + 1]
        position += 2
        if length >= 0x80:
            length, position = wire.read_varint(data, position - 1)
        stop = position + length
        if stop > end:
            raise InvalidInput("not a protobuf message: a field is cut short")
        if tag == _TENSORS:
            found.append(data[position:stop])
        elif tag == raw_tag:
            raws.append(data[position:stop])
        elif tag == _ID:
            id = data[position:stop]
        elif tag == _PARAMETERS:
            parameters.append(data[position:stop])
        elif tag == _REQUESTED and is_request:
            requested.append(data[position:stop])
        elif tag < 8:
            raise InvalidInput("not a protobuf message: a field has no number")
        position = stop
    message = Message(id, parameters, found, raws, requested)
    return message if not raws or len(raws) == len(found) else _with_all_raw(message)


def joined(messages: Sequence[Message]) -> Message:
    """All tensors in order; id and parameters of the first. Raises InvalidInput when contents do not fit datatypes."""
    if len(messages) == 1:
        return messages[0]
    messages = all_raw(messages)
    first = messages[0]
    return Message(
        first.id,
        first.parameters,
        [tensor for message in messages for tensor in message.tensors],
        [raw for message in messages for raw in message.raws],
    )


def all_raw(messages: Sequence[Message]) -> Sequence[Message]:
    """With raw contents when any of them has some. Raises InvalidInput when contents do not fit their datatype."""
    raw = sum(1 for message in messages if message.raws)
    if raw == 0 or raw == len(messages):
        return messages
    return [message if message.raws else _as_raw(message) for message in messages]


def _as_raw(message: Message) -> Message:
    raws = [tensors.raw_of(tensors.parse(tensor)) for tensor in message.tensors]
    bare = [tensors.without_contents(tensor) for tensor in message.tensors]
    return Message(message.id, message.parameters, bare, raws)


def _with_all_raw(message: Message) -> Message:
    """Raw contents that are fewer than the tensors belong, in order, to those without typed ones."""
    typed = [tensors.has_contents(tensor) for tensor in message.tensors]
    if typed.count(False) != len(message.raws):
        raise InvalidInput(
            f"{len(message.raws)} raw contents for {typed.count(False)} tensors without contents: send one for each"
        )
    given = iter(message.raws)
    bare, raws = [], []
    for tensor, has_contents in zip(message.tensors, typed, strict=True):
        raws.append(tensors.raw_of(tensors.parse(tensor)) if has_contents else next(given))
        bare.append(tensors.without_contents(tensor) if has_contents else tensor)
    return Message(message.id, message.parameters, bare, raws, message.requested)


def _after_unknown(data: bytes, position: int) -> int:
    """Where a field ends that no inference message has. Raises InvalidInput when it is no field at all."""
    for _, _, _, end in wire.fields(data, position):
        return end
    raise InvalidInput("not a protobuf message")
