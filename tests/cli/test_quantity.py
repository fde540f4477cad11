"""Memory quantities against exact arithmetic."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.manifests.quantity import bytes_of

DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100Ki", 102400),
        ("3M", 3000000),
        ("3Gi", 3221225472),
        ("1.5k", 1500),
        ("1000m", 1),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("25e-1k", None),
        (".5k", 500),
        ("5.", 5),
        ("1.0", 1),
        ("+7", 7),
        (100000, 100000),
        (1500.0, 1500),
        (1e21, None),
        (0.5, None),
        ("", None),
        (".", None),
        ("Ki", None),
        ("1.5Gi", None),
        ("0.5", None),
        ("-1", None),
        ("8Ei", None),
        ("1Kib", None),
        ("1 Ki", None),
        ("1e999", None),
        ("1e9999999", None),
        ("٣", None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_examples(text: str | float, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="quantit"):
            bytes_of(text)
    else:
        assert bytes_of(text) == expected


@given(st.integers(0, 10**12), st.integers(0, 10**6), st.sampled_from(list(DECIMAL)))
def test_decimal_suffixes_are_exact_or_refused(whole: int, millionths: int, suffix: str) -> None:
    exact = (whole + Fraction(millionths % 10**6, 10**6)) * Fraction(10) ** DECIMAL[suffix]
    text = f"{whole}.{millionths % 10**6:06d}{suffix}"
    if exact.denominator == 1 and exact < 2**63:
        assert bytes_of(text) == exact
    else:
        with pytest.raises(ValueError, match=r"Can't convert model memory quantity to bytes\. "):
            bytes_of(text)


@given(st.integers(0, 2**63), st.sampled_from(list(BINARY)))
def test_binary_suffixes_shift(whole: int, suffix: str) -> None:
    exact = whole * 1024 ** BINARY[suffix]
    if exact < 2**63:
        assert bytes_of(f"{whole}{suffix}") == exact
    else:
        with pytest.raises(ValueError, match="Can't convert"):
            bytes_of(f"{whole}{suffix}")


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= bytes_of(text) < 2**63
