"""Protobuf responses become JSON that every parser reads, without loss."""

import base64
import contextlib
import json
from typing import Any

import numpy as np
import orjson
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferResponse

from shared.errors import InvalidInput
from shared.oip.binary_tensors import BinaryOutputs
from shared.oip.json_codec import response_to_binary, response_to_json
from shared.oip.selection import select_outputs
from shared.oip.tensors import NUMPY_TYPE, bfloat16, contents_of_numbers, join_bytes, type_outputs


def raw_response(datatype: str, shape: list[int], raw: bytes) -> ModelInferResponse:
    response = ModelInferResponse(raw_output_contents=[raw])
    response.outputs.add(name="y", datatype=datatype, shape=shape)
    return response


def data(response: ModelInferResponse) -> Any:
    return orjson.loads(response_to_json(response))["outputs"][0]["data"]


def test_fields_come_in_order_and_empty_ones_are_left_out() -> None:
    response = ModelInferResponse(model_version="1", id="abc")
    response.parameters["b"].int64_param = 2**63 - 1
    response.parameters["a"].bool_param = False
    response.parameters["unset"].SetInParent()
    tensor = response.outputs.add(name="y", datatype="INT64", shape=[1, 2])
    tensor.contents.int64_contents.extend([2**63 - 1, -1])
    tensor.parameters["content_type"].string_param = "np"
    assert response_to_json(response) == (
        b'{"model_name":"","model_version":"1","id":"abc","parameters":{"a":false,"b":9223372036854775807},'
        b'"outputs":[{"data":[9223372036854775807,-1],"name":"y","shape":[1,2],"datatype":"INT64",'
        b'"parameters":{"content_type":"np"}}]}'
    )
    assert response_to_json(ModelInferResponse()) == b'{"model_name":""}'


@pytest.mark.parametrize("content_type", ["str", "datetime", "np", "hg_jsonlist", "base64", None])
@pytest.mark.parametrize(
    ("elements", "shown", "marked"),
    [
        ([b"hi", b""], ["hi", ""], False),
        (["Zürich".encode(), b"aGk="], ["Zürich", "aGk="], False),
        ([b"hi", b"\xff\x00"], ["aGk=", "/wA="], True),
    ],
)
def test_bytes_are_text_unless_they_are_none(
    content_type: str | None, elements: list[bytes], shown: list[str], marked: bool
) -> None:
    for raw in (True, False):
        response = raw_response("BYTES", [2], join_bytes(elements))
        if not raw:
            response.ClearField("raw_output_contents")
            response.outputs[0].contents.bytes_contents.extend(elements)
        if content_type is not None:
            response.outputs[0].parameters["content_type"].string_param = content_type
        (output,) = orjson.loads(response_to_json(response))["outputs"]
        assert output["data"] == shown
        # Who reads the answer can tell which of the two it is.
        assert output.get("parameters", {}).get("content_type") == ("base64" if marked else content_type)


def test_known_raw_contents() -> None:
    fp32 = base64.b64decode("AAAgQQAAoEEAAPBBAAAgQg==")
    assert data(raw_response("FP32", [4], fp32)) == [10, 20, 30, 40]
    int32 = base64.b64decode("AgAAAAQAAAAGAAAACAAAAAoAAAAMAAAADgAAABAAAAASAAAAFAAAABYAAAAYAAAAGgAAABwAAAAeAAAAIAAAAA==")
    assert data(raw_response("INT32", [1, 16], int32)) == list(range(2, 33, 2))
    assert data(raw_response("BF16", [2], bfloat16(np.array([1.5, np.inf], "<f4")))) == [1.5, "Infinity"]
    assert data(raw_response("BOOL", [2], b"\1\0")) == [True, False]


def test_raw_contents_belong_to_the_outputs_without_typed_ones() -> None:
    response = ModelInferResponse(raw_output_contents=[b"\2"])
    response.outputs.add(name="typed", datatype="INT8", shape=[1]).contents.int_contents.append(1)
    response.outputs.add(name="raw", datatype="INT8", shape=[1])
    outputs = orjson.loads(response_to_json(response))["outputs"]
    assert [(output["name"], output["data"]) for output in outputs] == [("typed", [1]), ("raw", [2])]


def test_an_empty_tensor_has_empty_data() -> None:
    response = ModelInferResponse()
    response.outputs.add(name="y", datatype="FP32", shape=[0])
    assert data(response) == []


def test_what_json_lacks_is_a_string() -> None:
    raw = np.array([np.nan, np.inf, -np.inf, 0.1], "<f4").tobytes()
    assert b'"data":["NaN","Infinity","-Infinity",0.1]' in response_to_json(raw_response("FP32", [4], raw))


@given(
    st.sampled_from(sorted(set(NUMPY_TYPE) - {"BF16"})).flatmap(
        lambda datatype: st.tuples(st.just(datatype), hnp.arrays(NUMPY_TYPE[datatype], st.integers(0, 5)))
    ),
    st.booleans(),
)
def test_numbers_survive_raw_and_typed(case: tuple[str, np.ndarray[Any, Any]], raw: bool) -> None:
    datatype, array = case
    response = raw_response(datatype, [len(array)], array.tobytes())
    if not raw:
        response.ClearField("raw_output_contents")
        response.outputs[0].contents.CopyFrom(contents_of_numbers(datatype, array))
    found = json.loads(response_to_json(response))["outputs"][0]["data"]
    values = [float(each) if isinstance(each, str) else each for each in found]
    assert np.array_equal(np.array(values, array.dtype), array, equal_nan=array.dtype.kind == "f")


def test_wanted_outputs_follow_the_text_as_bytes() -> None:
    response = ModelInferResponse(raw_output_contents=[b"\1\0\2\0"])
    response.outputs.add(name="a", datatype="INT16", shape=[2])
    response.outputs.add(name="b", datatype="INT32", shape=[1]).contents.int_contents.append(3)
    body, length = response_to_binary(response, BinaryOutputs(default=True))
    assert length is not None
    assert orjson.loads(body[:length])["outputs"] == [
        {"name": "a", "shape": [2], "datatype": "INT16", "parameters": {"binary_data_size": 4}},
        {"name": "b", "shape": [1], "datatype": "INT32", "parameters": {"binary_data_size": 4}},
    ]
    assert body[length:] == b"\1\0\2\0\3\0\0\0"
    body, length = response_to_binary(response, BinaryOutputs(by_name={"b": True}))
    assert length is not None
    assert orjson.loads(body[:length])["outputs"][0]["data"] == [1, 2]
    assert response_to_binary(response, BinaryOutputs()) == (response_to_json(response), None)


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (raw_response("INT32", [1], b"\1"), "output 'y': invalid INT32 raw contents: 1 bytes are no multiple of 4"),
        (raw_response("FP8", [1], b"\1"), "output 'y': invalid datatype 'FP8'"),
        (raw_response("BYTES", [1], b"\5\0\0\0a"), "output 'y': invalid BYTES raw contents"),
        (ModelInferResponse(raw_output_contents=[b""]), "1 raw contents for 0 tensors"),
    ],
)
def test_a_response_that_contradicts_itself_is_refused(response: ModelInferResponse, sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        response_to_json(response)
    assert sentence in str(error.value)


@given(st.binary(max_size=60))
def test_any_message_is_a_reply_or_a_sentence(message: bytes) -> None:
    with contextlib.suppress(DecodeError, InvalidInput):
        response = ModelInferResponse.FromString(b"\x2a" + bytes([len(message)]) + message)
        orjson.loads(response_to_json(response))


def test_empty_contents_beside_raw_ones_are_none() -> None:
    """As MLServer writes them."""
    response = raw_response("FP16", [1], b"\x00\x34")
    response.outputs[0].contents.SetInParent()
    assert data(response) == [0.25]
    assert list(type_outputs(response).outputs[0].contents.fp32_contents) == [0.25]
    assert data(select_outputs(response, ["y"], "m")) == [0.25]
