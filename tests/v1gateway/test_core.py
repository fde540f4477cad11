"""What messages mean in each other's terms, without a model."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse, ModelMetadataResponse
from version1 import predict_pb2, prediction_pb2, types_pb2

from compose.mlserver.seldon_v1 import convention as theirs
from services.v1gateway.core import convention as ours
from services.v1gateway.core import labels, oip, paths, seldon_json, seldon_proto, tensor_proto
from services.v1gateway.core import tensorflow as tf
from services.v1gateway.core.message import Message, Result
from services.v1gateway.core.paths import Action
from services.v1gateway.metrics import Window
from shared.errors import InvalidInput, NotImplementedYet
from shared.oip.tensors import NUMPY_TYPE

Tensor = ModelMetadataResponse.TensorMetadata


def echo(request: ModelInferRequest) -> ModelInferResponse:
    """What a model answers that gives back what it was given."""
    response = ModelInferResponse(model_name="echo")
    for tensor in request.inputs:
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        output.contents.CopyFrom(tensor.contents)
        for name, parameter in tensor.parameters.items():
            output.parameters[name].CopyFrom(parameter)
    return response


def through(body: Any) -> Any:
    asked = seldon_json.read(json.dumps(body).encode())
    return json.loads(seldon_json.write(oip.answer(echo(oip.request(asked, ())), asked)))


def test_the_runtime_knows_the_same_names() -> None:
    def named(module: Any) -> dict[str, Any]:
        return {name: value for name, value in vars(module).items() if isinstance(value, str) and name.isupper()}

    assert named(theirs) == named(ours)


_ELEMENTS = (
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[list[int], list[Any]]:
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    elements = draw(st.sampled_from(_ELEMENTS))
    count = int(np.prod(shape))
    return shape, draw(st.lists(elements, min_size=count, max_size=count))


def nested(shape: list[int], values: list[Any]) -> Any:
    if len(shape) == 1:
        return values
    size = len(values) // shape[0]
    return [nested(shape[1:], values[start : start + size]) for start in range(0, len(values), size)]


@given(arrays(), st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3))
def test_arrays_lose_nothing(drawn: tuple[list[int], list[Any]], names: list[str]) -> None:
    shape, values = drawn
    body = {"data": {"names": names, "ndarray": nested(shape, values)}}
    answer = through(body)
    assert answer["data"]["ndarray"] == body["data"]["ndarray"]
    assert json.dumps(answer["data"]["ndarray"]) == json.dumps(body["data"]["ndarray"])
    if names:
        assert answer["data"]["names"] == names


@given(arrays())
def test_tensors_lose_nothing(drawn: tuple[list[int], list[Any]]) -> None:
    shape, values = drawn
    if isinstance(values[0], bool | str):
        return
    body = {"data": {"tensor": {"shape": shape, "values": values}}}
    assert through(body)["data"]["tensor"] == body["data"]["tensor"]


@given(st.binary())
def test_bytes_lose_nothing(content: bytes) -> None:
    body = {"binData": base64.b64encode(content).decode()}
    assert through(body) == {**body, "meta": {}}


@given(
    st.recursive(
        st.none() | st.integers(-(2**53), 2**53) | _ELEMENTS[2] | _ELEMENTS[3],
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    )
)
def test_json_loses_nothing(content: Any) -> None:
    assert through({"jsonData": content}) == {"jsonData": content, "meta": {}}


@given(arrays())
def test_protobuf_and_json_say_the_same(drawn: tuple[list[int], list[Any]]) -> None:
    """Numbers of protobuf's lists are fractions."""
    shape, values = drawn
    if type(values[0]) is int:
        values = [float(value) for value in values]
    asked = seldon_json.read(json.dumps({"data": {"ndarray": nested(shape, values)}}).encode())
    message = seldon_proto.write(oip.answer(echo(oip.request(asked, ())), asked))
    again = seldon_proto.read(prediction_pb2.SeldonMessage.FromString(message.SerializeToString()))
    assert again.payload.shape == shape
    assert list(again.payload.elements.values) == values


@given(arrays())
def test_tensorflow_rows_lose_nothing(drawn: tuple[list[int], list[Any]]) -> None:
    shape, values = drawn
    rows = nested(shape, values)
    question = tf.read(json.dumps({"instances": rows}).encode())
    assert json.loads(tf.write(echo(tf.request(question, ())), by_row=True)) == {"predictions": rows}
    question = tf.read(json.dumps({"inputs": {"a": rows}}).encode())
    assert json.loads(tf.write(echo(tf.request(question, ())), by_row=False)) == {"outputs": rows}


def test_what_is_not_finite_has_a_name() -> None:
    result = Result(np.array([1.0, np.nan, np.inf, -np.inf]), [2, 2], "FP64")
    written = json.loads(seldon_json.write(Message(ours.NDARRAY, result, ("a", "b"))))
    assert written["data"]["ndarray"] == [[1.0, "NaN"], ["Infinity", "-Infinity"]]
    declared = [Tensor(name="x", datatype="FP64", shape=[-1])]
    asked = seldon_json.read(b'{"data":{"ndarray":[1.0,"NaN"]}}')
    assert oip.request(asked, declared).inputs[0].contents.fp64_contents[0] == 1.0


def test_declared_inputs_give_name_and_type() -> None:
    asked = seldon_json.read(b'{"data":{"ndarray":[[1,2]]}}')
    (tensor,) = oip.request(asked, [Tensor(name="x", datatype="FP32", shape=[-1, 2])]).inputs
    assert (tensor.name, tensor.datatype, list(tensor.contents.fp32_contents)) == ("x", "FP32", [1.0, 2.0])
    with pytest.raises(InvalidInput, match=r"integer at data.ndarray\[0\] 300.*from -128 to 127"):
        oip.request(seldon_json.read(b'{"data":{"ndarray":[300]}}'), [Tensor(name="x", datatype="INT8", shape=[-1])])
    with pytest.raises(NotImplementedYet, match="FP16"):
        oip.request(asked, [Tensor(name="x", datatype="FP16", shape=[-1])])


def test_rows_of_several_outputs() -> None:
    response = ModelInferResponse()
    for name in ("a", "b"):
        output = response.outputs.add(name=name, datatype="INT64", shape=[2, 1])
        output.contents.int64_contents.extend([1, 2])
    assert json.loads(tf.write(response, by_row=True)) == {"predictions": [{"a": [1], "b": [1]}, {"a": [2], "b": [2]}]}
    assert json.loads(tf.write(response, by_row=False)) == {"outputs": {"a": [[1], [2]], "b": [[1], [2]]}}
    response.outputs[1].shape[:] = [1, 2]
    with pytest.raises(InvalidInput, match="no rows in common"):
        tf.write(response, by_row=True)


def test_binary_values_of_tensorflow() -> None:
    question = tf.read(b'{"instances":[{"b64":"AAH/"}]}')
    response = echo(tf.request(question, ()))
    response.outputs[0].name = "image_bytes"
    assert json.loads(tf.write(response, by_row=True)) == {"predictions": [{"b64": "AAH/"}]}
    with pytest.raises(InvalidInput, match="base64"):
        tf.read(b'{"instances":[{"b64":"%"}]}')


@pytest.mark.parametrize("datatype", ["BOOL", "UINT8", "INT16", "INT32", "INT64", "UINT32", "UINT64", "FP32", "FP64"])
def test_tensor_messages_lose_nothing(datatype: str) -> None:
    values = np.array([0, 1, 1, 0], NUMPY_TYPE[datatype])
    made = tensor_proto.write(Result(values, [2, 2], datatype))
    read = tensor_proto.read(made, "t")
    assert (read.shape, list(read.elements.values)) == ([2, 2], values.tolist())
    made.tensor_content = values.tobytes()
    assert list(tensor_proto.read(made, "t").elements.values) == values.tolist()


def test_tensor_messages_that_contradict_themselves() -> None:
    request = predict_pb2.PredictRequest()
    tensor = request.inputs["x"]
    with pytest.raises(InvalidInput, match=r"inputs\.x\.dtype"):
        tf.question_of(request)
    tensor.dtype = types_pb2.DT_FLOAT
    tensor.tensor_shape.dim.add(size=3)
    tensor.float_val.extend([1, 2])
    with pytest.raises(InvalidInput, match=r"it has 2 values, its shape .* has 3"):
        tf.question_of(request)
    with pytest.raises(InvalidInput, match="the request has none"):
        tf.question_of(predict_pb2.PredictRequest())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1.0/predictions", (Action.PREDICTIONS, "", "")),
        ("/seldon/ns/d/api/v0.1/feedback", (Action.FEEDBACK, "d", "")),
        ("/api/v1.0/status/m", (Action.STATUS, "", "m")),
        ("/seldon/ns/d/api/v1.0/metadata", (Action.METADATA, "d", "")),
        ("/api/v1.0/doc/", (Action.DOC, "", "")),
        ("/v1/models/m:predict", (Action.TF_PREDICT, "m", "m")),
        ("/v1/models/m/:predict", (Action.TF_PREDICT, "m", "m")),
        ("/v1/models/m/versions/3:predict", (Action.TF_PREDICT, "m", "m")),
        ("/seldon/ns/d/v1/models/m:predict", (Action.TF_PREDICT, "d", "m")),
        ("/v1/models/m", (Action.TF_STATUS, "m", "m")),
        ("/v1/models/m/metadata", (Action.TF_METADATA, "m", "m")),
        ("/live", (Action.LIVE, "", "")),
        ("/v1/models/m:classify", None),
        ("/api/v2.0/predictions", None),
        ("/", None),
    ],
)
def test_paths(path: str, expected: tuple[Action, str, str] | None) -> None:
    call = paths.parse(path)
    assert (call and (call.action, call.deployment, call.model)) == expected


def test_what_answered_is_read_from_the_route() -> None:
    assert labels.of_route(":iris_3:") == ("iris", "iris", "3")
    assert labels.of_route(":a_1:, :p.pipeline:") == ("p", "p", "NOT_IMPLEMENTED")
    assert labels.of_route("") == ("", "", "")


def test_quantiles_are_of_the_last_ten_minutes() -> None:
    now = [0.0]
    window = Window(lambda: now[0])
    for value in range(1, 101):
        window.observe(value)
    assert window.quantiles() == pytest.approx([50.5, 75.25, 90.1, 99.01, 100])
    now[0] = 599
    window.observe(7)
    now[0] = 700
    assert window.quantiles() == [7] * 5
    now[0] = 2000
    assert all(np.isnan(window.quantiles()))
    assert (window.count, window.sum) == (101, 5057)
