"""Whatever a producer wrote becomes a request, or a sentence that says why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from services.modelgateway.core.payloads import Poison, request_of


def response(raw: bytes | None) -> ModelInferResponse:
    made = ModelInferResponse(model_name="iris_1", model_version="1", id="7")
    made.parameters["p"].int64_param = 3
    tensor = made.outputs.add(name="y", datatype="INT32", shape=[1])
    tensor.parameters["content_type"].string_param = "np"
    if raw is None:
        tensor.contents.int_contents.append(5)
    else:
        made.raw_output_contents.append(raw)
    return made


def parsed(value: bytes, infer_type: str | None = None) -> ModelInferRequest:
    return ModelInferRequest.FromString(request_of(value, infer_type))


def test_a_request_keeps_its_bytes() -> None:
    request = ModelInferRequest(model_name="iris", raw_input_contents=[b"\5\0\0\0"])
    request.inputs.add(name="x", datatype="INT32", shape=[1])
    request.outputs.add(name="y")
    value = request.SerializeToString()
    assert request_of(value, None) is value
    assert request_of(value, "proto/InferModelRequest") is value
    assert request_of(b"\0\0\0\0\x09\0" + value, None) == value
    assert request_of(b"", None) == b""


# The second is, by its bytes, a requested output named "ab".
@pytest.mark.parametrize("raw", [b"\5\0\0\0", b"\x0a\2ab"])
@pytest.mark.parametrize("infer_type", [None, "proto/InferModelResponse"])
def test_the_raw_outputs_of_a_response_become_inputs(raw: bytes, infer_type: str | None) -> None:
    request = parsed(response(raw).SerializeToString(), infer_type)
    assert list(request.raw_input_contents) == [raw]
    assert not request.outputs
    assert (request.model_name, request.model_version, request.id) == ("", "", "7")
    assert request.parameters["p"].int64_param == 3
    assert request.inputs[0].name == "y"
    assert request.inputs[0].parameters["content_type"].string_param == "np"


def test_the_typed_outputs_of_a_response_become_inputs() -> None:
    for infer_type in (None, "proto/inferModelResponse"):
        request = parsed(response(None).SerializeToString(), infer_type)
        assert request.inputs[0].contents.int_contents == [5]


def test_a_request_for_certain_outputs_is_no_response() -> None:
    request = ModelInferRequest()
    request.inputs.add(name="x", datatype="INT32", shape=[1]).contents.int_contents.append(5)
    request.outputs.add(name="y")
    value = request.SerializeToString()
    assert request_of(value, None) is value
    bare = ModelInferRequest()
    bare.outputs.add(name="y")
    assert parsed(bare.SerializeToString()) == bare


def test_white_space_may_begin_json_and_protobuf() -> None:
    assert parsed(b"\n\t {}".replace(b"{}", b'{"inputs": []}')) == ModelInferRequest()
    name = "[" + "n" * 90  # its length, 91, is a bracket
    request = ModelInferRequest(model_name=name)
    assert request.SerializeToString()[:2] == b"\n["
    assert parsed(request.SerializeToString()) == request


def test_json_of_both_kinds_is_read() -> None:
    tensor = b'[{"name": "x", "datatype": "INT32", "shape": [1], "data": [5]}]'
    for value, infer_type in (
        (b'{"inputs": %s}', None),
        (b'{"outputs": %s}', None),
        (b'{"inputs": %s}', "json/inferModelRequest"),
        (b'{"outputs": %s}', "json/inferModelResponse"),
    ):
        assert parsed(value % tensor, infer_type).inputs[0].contents.int_contents == [5]


@given(
    st.none() | st.binary(max_size=60) | st.binary(max_size=20).map(lambda rest: b"\0\0\0\0\1\0" + rest),
    st.none()
    | st.text(max_size=5)
    | st.sampled_from(["json/inferModelRequest", "proto/InferModelRequest", "proto/InferModelResponse"]),
)
def test_any_value_is_a_request_or_a_sentence(value: bytes | None, infer_type: str | None) -> None:
    try:
        request = request_of(value, infer_type)
    except Poison as poison:
        sentence = str(poison)
    else:
        ModelInferRequest.FromString(request)
        return
    assert sentence
