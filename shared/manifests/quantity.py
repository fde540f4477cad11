"""Kubernetes quantities such as `100Ki` or `3M`, as whole bytes."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

_QUANTITY: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>\d*)(?:\.(?P<fraction>\d*))?"
    r"(?P<suffix>(?:[KMGTPE]i)|[numkMGTPE]|(?:[eE][+-]?\d{1,3}))?",
    re.ASCII,
)
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_MAX_BYTES: Final = 2**63 - 1
_SYNTAX: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def bytes_of(quantity: str | int | float) -> int:
    """Bytes of a memory quantity.

    Binary suffixes Ki..Ei take whole numbers only; every other form must come to a whole number of bytes.
    Raises ValueError with one sentence when the text is no quantity, or is not a number of bytes from 0 to 2^63 - 1.
    """
    # Decimal rather than repr: YAML reads 1.0e+21 as a float, and a quantity knows no "e+21" after a fraction of zero.
    text = quantity if isinstance(quantity, str) else format(Decimal(str(quantity)), "f")
    match = _QUANTITY.fullmatch(text)
    if match is None or not (match["whole"] or match["fraction"]):
        raise ValueError(f"{text!r} is no quantity: {_SYNTAX}, for example 100Ki, 3M or 1Gi")
    amount = _exact(match)
    if amount is None or amount.denominator != 1 or not 0 <= amount <= _MAX_BYTES:
        raise ValueError(f"Can't convert model memory quantity to bytes. {text}")
    return amount.numerator


def _exact(match: re.Match[str]) -> Fraction | None:
    """The exact amount; None for a binary suffix after a fraction."""
    fraction = (match["fraction"] or "").rstrip("0")
    amount = Fraction(int((match["whole"] or "0") + fraction), 10 ** len(fraction))
    if match["sign"] == "-":
        amount = -amount
    suffix = match["suffix"] or ""
    if suffix in _BINARY:
        return None if fraction else amount * 2 ** _BINARY[suffix]
    exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    return amount * Fraction(10) ** exponent
