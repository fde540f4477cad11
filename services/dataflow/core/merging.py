"""Several requests as one along dimension 0, and the answer to it taken apart again."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Final

from mlops.v2_dataplane.v2_dataplane_pb2 import InferTensorContents

from services.dataflow.core import tensors
from services.dataflow.core.messages import Message, all_raw
from services.dataflow.core.tensors import Tensor
from shared.errors import InvalidInput

_LENGTH_PREFIX: Final = 4


class Rows:
    """A request as a member of a batch. Raises InvalidInput when its tensors are unreadable."""

    __slots__ = ("count", "fits", "message")

    def __init__(self, message: Message) -> None:
        parsed = [tensors.parse(tensor) for tensor in message.tensors]
        names = {tensor.name for tensor in parsed}
        mergeable = len(names) == len(parsed) and all(tensor.shape for tensor in parsed)
        self.message = message
        self.count = max(parsed[0].rows, 0)
        self.fits = (
            frozenset((each.name, each.datatype, tuple(each.shape[1:])) for each in parsed) if mergeable else None
        )
        """Requests with the same value can be merged; None when this one cannot be."""


def merged(messages: Sequence[Message]) -> Message:
    """Tensors put together by name, parameters of all, id of the last. Raises InvalidInput as `all_raw`."""
    messages = all_raw(messages)
    parsed = [[tensors.parse(tensor) for tensor in message.tensors] for message in messages]
    order = [tensor.name for tensor in parsed[0]]
    by_name = [{tensor.name: index for index, tensor in enumerate(each)} for each in parsed]
    merged_tensors, raws = [], []
    for name in order:
        places = [indices[name] for indices in by_name]
        merged_tensors.append(_merged_tensor([each[place] for each, place in zip(parsed, places, strict=True)]))
        if messages[0].raws:
            raws.append(b"".join(message.raws[place] for message, place in zip(messages, places, strict=True)))
    parameters = [parameter for message in messages for parameter in message.parameters]
    return Message(messages[-1].id, parameters, [tensor.encoded() for tensor in merged_tensors], raws)


def _merged_tensor(parts: Sequence[Tensor]) -> Tensor:
    contents = [part.contents for part in parts if part.contents is not None]
    return replace(
        parts[0],
        shape=[sum(part.rows for part in parts), *parts[0].shape[1:]],
        parameters=list(dict.fromkeys(parameter for part in parts for parameter in part.parameters)),
        # Encoded messages put together decode as one with the elements of all.
        contents=b"".join(contents) if contents else None,
    )


def split(message: Message, rows: Sequence[int]) -> list[Message]:
    """Each member's rows of an answer; the whole answer for each when its tensors do not have the batch's rows.

    Raises InvalidInput when tensors are unreadable or their contents do not fit their rows.
    """
    parsed = [tensors.parse(tensor) for tensor in message.tensors]
    total = sum(rows)
    if any(not tensor.shape or tensor.shape[0] != total for tensor in parsed):
        return [message for _ in rows]
    bounds = list(pairwise(accumulate(rows, initial=0)))
    pieces = [_split_tensor(tensor, bounds) for tensor in parsed]
    raws = [_split_raw(tensor, raw, bounds, total) for tensor, raw in zip(parsed, message.raws, strict=False)]
    return [
        Message(message.id, message.parameters, [piece[index] for piece in pieces], [raw[index] for raw in raws])
        for index in range(len(rows))
    ]


def _split_tensor(tensor: Tensor, bounds: Sequence[tuple[int, int]]) -> list[bytes]:
    contents = _split_contents(tensor, bounds)
    return [
        replace(tensor, shape=[end - start, *tensor.shape[1:]], contents=part).encoded()
        for (start, end), part in zip(bounds, contents, strict=True)
    ]


def _split_contents(tensor: Tensor, bounds: Sequence[tuple[int, int]]) -> list[bytes | None]:
    if tensor.contents is None:
        return [None for _ in bounds]
    try:
        contents = InferTensorContents.FromString(tensor.contents)
    except ValueError:  # what protobuf raises for bytes that are no message
        raise _misfit(tensor, "are unreadable") from None
    parts = [InferTensorContents() for _ in bounds]
    for field, values in contents.ListFields():
        size = _row_size(tensor, len(values), bounds[-1][1])
        for part, (start, end) in zip(parts, bounds, strict=True):
            getattr(part, field.name).extend(values[start * size : end * size])
    return [part.SerializeToString() for part in parts]


def _split_raw(tensor: Tensor, raw: bytes, bounds: Sequence[tuple[int, int]], total: int) -> list[bytes]:
    if tensor.datatype == b"BYTES":
        starts = _element_starts(tensor, raw)
        size = _row_size(tensor, len(starts) - 1, total)
        return [raw[starts[start * size] : starts[end * size]] for start, end in bounds]
    size = _row_size(tensor, len(raw), total)
    return [raw[start * size : end * size] for start, end in bounds]


def _element_starts(tensor: Tensor, raw: bytes) -> list[int]:
    """Where each element begins, and the end of the last; each is preceded by its length in four bytes."""
    starts = [0]
    while starts[-1] < len(raw):
        content = starts[-1] + _LENGTH_PREFIX
        starts.append(content + int.from_bytes(raw[starts[-1] : content], "little"))
    if starts[-1] > len(raw):
        raise _misfit(tensor, "are cut short")
    return starts


def _row_size(tensor: Tensor, length: int, total: int) -> int:
    if total == 0:
        return 0
    if length % total:
        raise _misfit(tensor, f"do not divide into {total} rows")
    return length // total


def _misfit(tensor: Tensor, what: str) -> InvalidInput:
    return InvalidInput(f"the contents of tensor {tensor.name.decode(errors='replace')} {what}")
