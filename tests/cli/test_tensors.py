"""Raw and typed tensor contents."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops.v2_dataplane.v2_dataplane_pb2 import InferTensorContents, ModelInferRequest, ModelInferResponse

from shared.errors import InvalidInput
from shared.oip.tensors import DATATYPES, content_field, from_raw, to_raw, type_inputs, type_outputs

SIZES = {"BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "UINT32": 4, "INT32": 4, "UINT64": 8, "INT64": 8}


@pytest.mark.parametrize("datatype", [name for name in SIZES if name != "BOOL"])
@given(data=st.data())
def test_integers_survive_both_ways(datatype: str, data: st.DataObject) -> None:
    raw = data.draw(st.binary(max_size=64).filter(lambda each: len(each) % SIZES[datatype] == 0))
    contents = from_raw(datatype, raw)
    signed = not datatype.startswith("U")
    size = SIZES[datatype]
    expected = [int.from_bytes(raw[i : i + size], "little", signed=signed) for i in range(0, len(raw), size)]
    assert list(getattr(contents, content_field(datatype))) == expected
    assert to_raw(datatype, contents) == raw


@pytest.mark.parametrize(("datatype", "dtype"), [("FP16", "<f2"), ("FP32", "<f4"), ("FP64", "<f8")])
@given(values=st.lists(st.floats(width=16, allow_nan=False), max_size=8))
def test_floats_survive_both_ways(datatype: str, dtype: str, values: list[float]) -> None:
    raw = np.array(values, dtype).tobytes()
    contents = from_raw(datatype, raw)
    assert list(getattr(contents, content_field(datatype))) == values
    assert to_raw(datatype, contents) == raw


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_byte_strings_survive_both_ways(values: list[bytes]) -> None:
    raw = to_raw("BYTES", InferTensorContents(bytes_contents=values))
    assert len(raw) == sum(4 + len(each) for each in values)
    assert list(from_raw("BYTES", raw).bytes_contents) == values


@given(st.binary(max_size=30).filter(lambda each: len(each) % 2 == 0))
def test_bfloat16_survives_both_ways(raw: bytes) -> None:
    values = from_raw("BF16", raw).fp32_contents
    again = from_raw("BF16", to_raw("BF16", InferTensorContents(fp32_contents=values))).fp32_contents
    assert [(math.isnan(each), each) for each in again if not math.isnan(each)] == [
        (False, each) for each in values if not math.isnan(each)
    ]
    assert [math.isnan(each) for each in again] == [math.isnan(each) for each in values]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**100), max_value=2.0**100))
def test_bfloat16_rounds_to_the_nearest(value: float) -> None:
    (rounded,) = from_raw("BF16", to_raw("BF16", InferTensorContents(fp32_contents=[value]))).fp32_contents
    assert abs(rounded - value) <= max(abs(value) * 2**-8, 1e-38)


def test_booleans() -> None:
    contents = from_raw("BOOL", b"\x01\x00\x01")
    assert list(contents.bool_contents) == [True, False, True]
    assert to_raw("BOOL", contents) == b"\x01\x00\x01"


@pytest.mark.parametrize("datatype", DATATYPES)
def test_nothing_is_nothing(datatype: str) -> None:
    assert to_raw(datatype, from_raw(datatype, b"")) == b""


@pytest.mark.parametrize(
    ("datatype", "raw"), [("INT32", b"123"), ("BYTES", b"\x05\x00\x00\x00ab"), ("BYTES", b"\x05"), ("STRING", b"")]
)
def test_bad_raw_contents(datatype: str, raw: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"invalid|cut short"):
        from_raw(datatype, raw)


def test_an_element_that_does_not_fit() -> None:
    with pytest.raises(InvalidInput, match="invalid UINT8 contents"):
        to_raw("UINT8", InferTensorContents(uint_contents=[300]))


def test_raw_contents_go_to_the_tensors_that_wait_for_them() -> None:
    response = ModelInferResponse(
        outputs=[
            ModelInferResponse.InferOutputTensor(
                name="a", datatype="INT32", contents=InferTensorContents(int_contents=[1])
            ),
            ModelInferResponse.InferOutputTensor(name="b", datatype="INT64"),
        ],
        raw_output_contents=[(7).to_bytes(8, "little")],
    )
    typed = type_outputs(response)
    assert list(typed.outputs[0].contents.int_contents) == [1]
    assert list(typed.outputs[1].contents.int64_contents) == [7]
    assert not typed.raw_output_contents
    assert response.raw_output_contents


def test_requests_too_and_wrong_counts() -> None:
    tensor = ModelInferRequest.InferInputTensor(name="a", datatype="INT32")
    request = ModelInferRequest(inputs=[tensor], raw_input_contents=[b"\1\0\0\0"])
    assert list(type_inputs(request).inputs[0].contents.int_contents) == [1]
    request.raw_input_contents.append(b"")
    with pytest.raises(InvalidInput, match="2 raw contents for 1 tensors"):
        type_inputs(request)
