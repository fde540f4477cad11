"""Renaming a message at byte level equals decoding, changing and encoding it."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from mlops.v2_dataplane import v2_dataplane_pb2

from shared.oip.rename import rename

Request = v2_dataplane_pb2.ModelInferRequest
names = st.text(max_size=300).filter(lambda text: not any(0xD800 <= ord(letter) < 0xE000 for letter in text))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    request = Request(model_name=draw(names), model_version=draw(names), id=draw(names))
    for name in draw(st.lists(names, max_size=3)):
        tensor = request.inputs.add(
            name=name, datatype="INT32", shape=draw(st.lists(st.integers(-1, 2**40), max_size=3))
        )
        tensor.contents.int_contents.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5)))
    request.raw_input_contents.extend(draw(st.lists(st.binary(max_size=200), max_size=3)))
    return request


@given(requests(), names)
def test_only_name_and_version_change(request: Request, internal: str) -> None:
    renamed = Request.FromString(rename(request.SerializeToString(), internal))
    request.model_name = internal
    request.model_version = ""
    assert renamed == request


@given(requests(), requests(), names)
def test_fields_may_stand_anywhere_and_repeat(first: Request, second: Request, internal: str) -> None:
    # Protobuf messages laid end to end are their merge.
    joined = first.SerializeToString() + second.SerializeToString()
    merged = Request.FromString(joined)
    merged.model_name = internal
    merged.model_version = ""
    assert Request.FromString(rename(joined, internal)) == merged


@given(st.binary(max_size=60))
def test_any_bytes_are_renamed_or_refused(junk: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert rename(junk, "iris_1").startswith(b"\x0a\x06iris_1")


def test_unknown_fields_stay() -> None:
    unknown = bytes.fromhex("f80705" + "f9070102030405060708" + "fd0701020304" + "fa07020102")
    assert rename(unknown, "m_1") == b"\x0a\x03m_1" + unknown
