"""Elements of one tensor between JSON values and numpy arrays or bytes, without loss.

JSON has no NaN and no infinities: they are written as the strings "NaN", "Infinity" and "-Infinity".
"""

import math
import reprlib
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, TypeGuard

import numpy as np

from shared.errors import InvalidInput
from shared.oip.tensors import NUMPY_TYPE, Numbers

_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_WHOLE_FLOAT: Final = 2.0**53
"""Above it, a number that is not written as an integer may have lost digits."""
_LARGEST: Final = {
    "FP16": float(np.finfo("<f2").max),
    "BF16": 3.3895313892515355e38,
    "FP32": float(np.finfo("<f4").max),
    "FP64": float(np.finfo("<f8").max),
}
_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = 200
_TYPE_IN_JSON: Final = {
    dict: "object",
    list: "list",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "fraction",
    type(None): "null",
}


def shown(value: object) -> str:
    """A value in an error, no longer than a person reads."""
    return _SHORT.repr(value)


def wrong(field: str, value: object, fix: str) -> InvalidInput:
    """The standard sentence: which field, which value, what to write instead."""
    return InvalidInput(f"invalid {field} {shown(value)}: {fix}")


class Elements(NamedTuple):
    """A tensor's data as JSON gave it, flat."""

    values: Sequence[Any]
    types: frozenset[type]
    """Of all values; looked at once because it costs as much as reading the JSON does."""
    field: str
    """What the data is called in errors."""

    def first_wrong(self, fits: Callable[[Any], bool], fix: str) -> InvalidInput:
        """Names the first value that does not fit."""
        index, value = next((index, each) for index, each in enumerate(self.values) if not fits(each))
        kind = _TYPE_IN_JSON.get(type(value), "value")
        return wrong(f"{kind} at {self.field}[{index}]", value, fix)


def flatten(data: object, field: str) -> Elements:
    """The elements of lists in lists, row-major. Raises InvalidInput."""
    if not isinstance(data, list):
        raise wrong(field, data, "write the elements as a list")
    level = data
    while list in (types := frozenset(map(type, level))):
        if len(types) > 1:
            raise wrong(field, data, "elements have to be at the same depth")
        level = list(chain.from_iterable(level))
    return Elements(level, types, field)


def numbers(datatype: str, elements: Elements) -> Numbers:
    """The elements of any datatype but BYTES as an array; those of BF16 as FP32.

    Raises InvalidInput that names the first element that does not fit.
    """
    if datatype == "BOOL":
        return _truths(elements)
    if datatype in _LARGEST:
        return _fractions(datatype, elements)
    return _integers(datatype, elements)


def texts(elements: Elements) -> list[bytes]:
    """BYTES elements: the UTF-8 of strings. Raises InvalidInput."""
    try:
        return [element.encode() for element in elements.values]
    except (AttributeError, UnicodeEncodeError):
        raise elements.first_wrong(is_text, "an element of BYTES is a string of valid Unicode") from None


def is_text(value: object) -> TypeGuard[str]:
    """A string that can be written in UTF-8."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def json_values(values: Numbers) -> Numbers | list[Any]:
    """What the JSON library writes for an array: itself, or a list where something has no number in JSON."""
    if values.dtype.kind != "f" or bool(np.isfinite(values).all()):
        return np.ascontiguousarray(values)
    return [value if np.isfinite(value) else _name(float(value)) for value in values]


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _truths(elements: Elements) -> Numbers:
    if elements.types - {bool}:
        raise elements.first_wrong(lambda each: type(each) is bool, "an element of BOOL is true or false")
    return np.array(elements.values, np.bool_)


def _integers(datatype: str, elements: Elements) -> Numbers:
    dtype = NUMPY_TYPE[datatype]
    if elements.types <= {int}:
        try:
            return np.array(elements.values, dtype)
        except OverflowError:
            pass  # the element is named below
    limits = np.iinfo(dtype)

    def fits(element: object) -> bool:
        if type(element) is float:
            return element.is_integer() and abs(element) <= _WHOLE_FLOAT and limits.min <= element <= limits.max
        return type(element) is int and limits.min <= element <= limits.max

    if not all(map(fits, elements.values)):
        raise elements.first_wrong(fits, f"an element of {datatype} is an integer from {limits.min} to {limits.max}")
    return np.array([int(element) for element in elements.values], dtype)


def _fractions(datatype: str, elements: Elements) -> Numbers:
    dtype = np.dtype("<f4") if datatype == "BF16" else NUMPY_TYPE[datatype]
    largest = _LARGEST[datatype]
    values = elements.values

    def fits(element: Any) -> bool:
        if type(element) is str:
            return element in _NOT_FINITE
        if type(element) is float and not math.isfinite(element):
            return True
        return type(element) in (int, float) and abs(element) <= largest

    fix = f'an element of {datatype} is a number up to {largest:g}, or "NaN" or null, "Infinity" or "-Infinity"'
    if type(None) in elements.types:
        # As numpy and the servers that are written around it take it.
        values = [math.nan if each is None else each for each in values]
        elements = Elements(values, elements.types - {type(None)}, elements.field)
    if str in elements.types:
        if not all(map(fits, values)):
            raise elements.first_wrong(fits, fix)
        values = [_NOT_FINITE[each] if type(each) is str else each for each in values]
    elif elements.types - {int, float}:
        raise elements.first_wrong(fits, fix)
    try:
        exact = np.array(values, "<f8")
    except OverflowError:  # an integer beyond every float
        raise elements.first_wrong(fits, fix) from None
    if bool(((np.abs(exact) > largest) & np.isfinite(exact)).any()):
        raise elements.first_wrong(fits, fix)
    rounded: Numbers = exact.astype(dtype)
    return rounded
