"""A Seldon message whatever it came in, and the arrays in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import Any, Final

import numpy as np

from shared.errors import InvalidInput
from shared.oip.json_elements import Elements, json_values, shown, wrong
from shared.oip.tensors import NUMPY_TYPE, Numbers

_INT64: Final = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Array:
    """What was asked: elements as they were written, row-major, and the shape that they fill."""

    elements: Elements
    shape: list[int]


@dataclass(frozen=True, slots=True)
class Result:
    """What was answered: flat numbers of one datatype, or texts."""

    values: Numbers | Sequence[bytes]
    shape: list[int]
    datatype: str


@dataclass(frozen=True, slots=True)
class Message:
    """`payload` is an `Array` or a `Result` for the kinds that are arrays, else str, bytes or what JSON can say."""

    kind: str
    payload: Any
    names: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What became of a prediction; each message may be missing."""

    request: Message | None
    response: Message | None
    truth: Message | None
    reward: float
    routing: int | None = None


def array(data: object, field: str) -> Array:
    """Lists in lists. Raises InvalidInput where rows of one level differ in length or depth."""
    if not isinstance(data, list):
        raise wrong(field, data, "write a list, or lists of equal length in a list")
    shape, level = [len(data)], data
    while list in (types := frozenset(map(type, level))):
        if len(types) > 1:
            raise wrong(field, data, "elements have to be at the same depth")
        lengths = set(map(len, level))
        if len(lengths) > 1:
            raise InvalidInput(f"invalid {field}: lists of {_listed(lengths)} elements are side by side: fill them up")
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    return Array(Elements(level, types, field), shape)


def filled(values: object, shape: object, field: str) -> Array:
    """Flat values and the shape that they fill. Raises InvalidInput when they do not."""
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise wrong(f"{field}.shape", shape, "write a list of integers, none below 0")
    flat = array(values, f"{field}.values")
    if len(flat.shape) != 1:
        raise wrong(f"{field}.values", values, "write the values in one list and their order in shape")
    if len(flat.elements.values) != prod(shape):
        raise InvalidInput(
            f"invalid {field}: it has {len(flat.elements.values)} values, its shape {shown(shape)} has {prod(shape)}"
        )
    return Array(flat.elements, shape)


def datatype(elements: Elements) -> str:
    """The datatype that holds every element as it was written. Raises InvalidInput for elements of several types."""
    types = elements.types
    if types <= {int} and types and all(_INT64.min <= each <= _INT64.max for each in elements.values):
        return "INT64"
    if types <= {int, float}:
        return "FP64"
    if types == {bool}:
        return "BOOL"
    if types <= {str, bytes}:
        return "BYTES"
    first = type(elements.values[0])
    alike = {int, float} if first in (int, float) else {first}
    if first in (int, float, bool, str):
        raise elements.first_wrong(
            lambda each: type(each) in alike, "elements are numbers, strings or booleans, all of one type"
        )
    raise elements.first_wrong(lambda _: False, "elements are numbers, strings or booleans")


def rows(values: Any, shape: Sequence[int]) -> Any:
    """Flat values as lists in lists, or as an array that the JSON library writes so."""
    if isinstance(values, np.ndarray):
        values = json_values(values)
        if isinstance(values, np.ndarray):
            return values.reshape(shape)
    level = list(values)
    if not shape:
        return level[0] if level else None
    for size in reversed(shape[1:]):
        level = [level[start : start + size] for start in range(0, len(level), size)] if size else []
    return level if 0 not in shape[1:] else np.zeros(shape).tolist()


def python_values(result: Result) -> list[Any]:
    """Flat; BYTES as text."""
    if isinstance(result.values, np.ndarray):
        written = json_values(result.values)
        return written.tolist() if isinstance(written, np.ndarray) else [_plain(each) for each in written]
    return [text(each) for each in result.values]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def text(value: bytes) -> str:
    return value.decode(errors="replace")


def numeric(name: str) -> bool:
    """Is this a datatype of numbers? Truth values are none."""
    return name in NUMPY_TYPE and name != "BOOL"


def _listed(numbers: Iterable[int]) -> str:
    return " and ".join(map(str, sorted(numbers)[:3]))
