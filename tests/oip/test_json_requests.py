"""JSON inference requests become protobuf without loss, and whatever is not one becomes a sentence."""

import contextlib
import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest

from shared.errors import InvalidInput
from shared.oip.binary_tensors import take_binary_outputs
from shared.oip.json_codec import request_from_json
from shared.oip.tensors import DATATYPES, NUMPY_TYPE, content_field, type_inputs


def tensor(datatype: str, shape: list[int], data: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "shape": shape, "data": data, **fields}


def parse(*inputs: Any, **fields: Any) -> ModelInferRequest:
    return request_from_json(json.dumps({"inputs": list(inputs), **fields}).encode())


def elements(request: ModelInferRequest) -> list[Any]:
    typed = type_inputs(request).inputs[0]
    return list(getattr(typed.contents, content_field(typed.datatype)))


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("BOOL", [True, False]),
        ("UINT8", [0, 255]),
        ("UINT16", [0, 65535]),
        ("UINT32", [0, 2**32 - 1]),
        ("UINT64", [2**64 - 1, 2**53 + 1]),
        ("INT8", [-128, 127]),
        ("INT16", [-32768, 32767]),
        ("INT32", [-(2**31), 2**31 - 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("FP16", [1.5, 65504.0]),
        ("BF16", [1.5, -2.0]),
        ("FP32", [0.5, 3.4028234663852886e38]),
        ("FP64", [0.1, -1.7976931348623157e308]),
    ],
)
def test_every_datatype_keeps_its_extremes(datatype: str, data: list[Any]) -> None:
    assert elements(parse(tensor(datatype, [2], data))) == data


def test_strings_are_utf8_and_nothing_is_decoded() -> None:
    assert elements(parse(tensor("BYTES", [2, 1], [["Zürich"], ["aGVsbG8="]]))) == ["Zürich".encode(), b"aGVsbG8="]


def test_nested_data_is_flattened_row_major() -> None:
    assert elements(parse(tensor("INT32", [2, 2, 1], [[[1], [2]], [[3], [4]]]))) == [1, 2, 3, 4]


def test_whole_fractions_are_integers_as_long_as_no_digit_may_be_lost() -> None:
    assert elements(parse(tensor("INT64", [2], [1.0, -(2.0**53)]))) == [1, -(2**53)]
    with pytest.raises(InvalidInput, match="1844674407370955"):
        parse(tensor("UINT64", [1], [2**64]))


def test_numbers_that_json_lacks_are_strings_or_bare_literals() -> None:
    strings = elements(parse(tensor("FP32", [3], ["NaN", "Infinity", "-Infinity"])))
    literals = elements(parse(tensor("FP64", [3], [math.nan, math.inf, -math.inf])))
    for found in (strings, literals):
        assert math.isnan(found[0])
        assert found[1:] == [math.inf, -math.inf]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_null_among_numbers_is_nan(datatype: str) -> None:
    found = elements(parse(tensor(datatype, [2, 2], [[1.5, None], [-2, "Infinity"]])))
    assert math.isnan(found[1])
    assert [found[0], *found[2:]] == [1.5, -2, math.inf]


def test_parameters_keep_their_kind() -> None:
    parameters = {"text": "np", "flag": True, "number": 2**63 - 1, "whole": -2.0, "none": None}
    request = parse(tensor("INT32", [1], [1], parameters=parameters), parameters=parameters, id="abc")
    assert request.id == "abc"
    for found in (request.parameters, request.inputs[0].parameters):
        assert found["text"].string_param == "np"
        assert found["flag"].bool_param is True
        assert found["number"].int64_param == 2**63 - 1
        assert found["whole"].int64_param == -2
        assert "none" not in found


def test_optional_fields_may_be_null() -> None:
    request = parse(tensor("INT32", [1], [1], parameters=None), id=None, parameters=None, outputs=None)
    assert (request.id, len(request.parameters), len(request.outputs)) == ("", 0, 0)


def test_requested_outputs_are_kept() -> None:
    request = parse(outputs=[{"name": "y", "parameters": {"classification": 2}}, {"name": "z"}])
    assert [output.name for output in request.outputs] == ["y", "z"]
    assert request.outputs[0].parameters["classification"].int64_param == 2


def test_the_outputs_of_a_response_become_inputs_when_that_is_asked_for() -> None:
    body = orjson.dumps({"model_name": "iris_1", "id": "7", "outputs": [tensor("INT32", [1], [5])]})
    request = request_from_json(body, outputs_as_inputs=True)
    assert (request.id, request.model_name, elements(request), len(request.outputs)) == ("7", "", [5], 0)
    with pytest.raises(InvalidInput, match="inputs"):
        request_from_json(body)


def test_one_raw_tensor_makes_all_of_them_raw() -> None:
    request = parse(tensor("INT32", [2], [1, 2]), tensor("FP16", [1], [1.0]), tensor("BYTES", [1], ["a"]))
    assert list(request.raw_input_contents) == [b"\1\0\0\0\2\0\0\0", b"\0\x3c", b"\1\0\0\0a"]
    assert not any(each.HasField("contents") for each in request.inputs)


def test_binary_tensors_follow_the_json_text() -> None:
    text = orjson.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [
                {"name": "a", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4, "k": "v"}},
                tensor("UINT8", [1], [7]),
                {"name": "c", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
            ],
            "outputs": [{"name": "y", "parameters": {"binary_data": False}}, {"name": "z"}],
        }
    )
    request = request_from_json(text + b"\1\0\2\0" + b"\2\0\0\0hi", header_length=len(text))
    assert list(request.raw_input_contents) == [b"\1\0\2\0", b"\7", b"\2\0\0\0hi"]
    assert dict(request.inputs[0].parameters.items()).keys() == {"k"}
    wanted = take_binary_outputs(request)
    assert (wanted.includes("y"), wanted.includes("z"), wanted.includes("other")) == (False, True, True)
    assert not request.parameters
    assert not request.outputs[0].parameters


@pytest.mark.parametrize(
    ("size", "rest", "sentence"),
    [
        (4, b"", "binary_data_size of input 'x' 4: 0 bytes are left"),
        (2, b"ab", "it has 1 elements, its shape [2] has 2"),
        (3, b"abc", "3 bytes are no multiple of 2"),
        (4, b"abcde", "1 bytes behind the JSON text belong to no input"),
        ("4", b"abcd", "write the tensor's number of bytes"),
        (-1, b"abcd", "write the tensor's number of bytes"),
    ],
)
def test_binary_tensors_that_do_not_fit_are_refused(size: object, rest: bytes, sentence: str) -> None:
    inputs = [{"name": "x", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": size}}]
    text = orjson.dumps({"inputs": inputs})
    with pytest.raises(InvalidInput) as error:
        request_from_json(text + rest, header_length=len(text))
    assert sentence in str(error.value)


def test_a_text_length_beyond_the_body_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the body has 2 bytes"):
        request_from_json(b"{}", header_length=3)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"NaN" + b"[" * 100_000, "not JSON"),
        (b"[1]", "invalid request [1]"),
        (b"5", "invalid request 5"),
        (b"NaN", "invalid request nan"),
        (b"{}", "invalid inputs None: write a list of tensors"),
        (b'{"inputs": {}}', "invalid inputs {}"),
        (b'{"inputs": [1]}', "invalid inputs[0] 1"),
        (b'{"inputs": [], "id": 5}', "invalid id 5: write a string"),
        (b'{"inputs": [], "parameters": []}', "invalid parameters []: write an object"),
        (b'{"inputs": [], "parameters": {"p": 0.7}}', "invalid parameter 'p' 0.7: write an integer"),
        (b'{"inputs": [], "parameters": {"p": {}}}', "invalid parameter 'p' {}"),
        (b'{"inputs": [], "parameters": {"p": 9223372036854775808}}', "invalid parameter 'p' 9223372036854775808"),
        (b'{"inputs": [], "parameters": {"p": NaN}}', "invalid parameter 'p' nan"),
        (
            b'{"inputs": [], "outputs": [{"name": "y", "parameters": {"p": 1.5}}]}',
            "invalid parameter 'p' of output 'y'",
        ),
        (b'{"inputs": [], "outputs": 1}', "invalid outputs 1"),
        (b'{"inputs": [], "outputs": [{}]}', "invalid name of output 0 None"),
        (b'{"inputs": [{}]}', "invalid name of input 0 None"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(body: bytes, sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        request_from_json(body)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (tensor("FP8", [1], [1]), "invalid datatype of input 'x' 'FP8': use one of BOOL, "),
        (tensor("INT32", [-1, 2], [1, 2]), "invalid shape of input 'x' [-1, 2]: write a list of integers"),
        (tensor("INT32", [True], [1]), "invalid shape of input 'x' [True]"),
        ({"name": "x", "datatype": "INT32", "data": [1]}, "invalid shape of input 'x' None"),
        ({"name": "x", "datatype": "INT32", "shape": [2, 3]}, "data of input 'x' is missing: write 6 elements"),
        (tensor("INT32", [2, 2], [1, 2, 3]), "it has 3 elements, its shape [2, 2] has 4"),
        (tensor("INT32", [2], [1, 2, 3]), "it has 3 elements, its shape [2] has 2"),
        (tensor("INT32", [1], 1), "invalid data of input 'x' 1: write the elements as a list"),
        (tensor("INT32", [2], [1, [2]]), "elements have to be at the same depth"),
        (tensor("INT32", [1], [None]), "invalid null at data of input 'x'[0] None"),
        (tensor("INT32", [2], [1, "2"]), "invalid string at data of input 'x'[1] '2': an element of INT32 is an int"),
        (tensor("INT32", [1], [True]), "invalid boolean at data of input 'x'[0] True"),
        (tensor("INT32", [1], [1.5]), "invalid fraction at data of input 'x'[0] 1.5"),
        (tensor("UINT8", [2], [0, 256]), "invalid integer at data of input 'x'[1] 256: an element of UINT8 is an int"),
        (tensor("UINT64", [1], [-1]), "from 0 to 18446744073709551615"),
        (tensor("BOOL", [1], [1]), "an element of BOOL is true or false"),
        (tensor("FP32", [2], [1, 1e39]), "invalid fraction at data of input 'x'[1] 1e+39"),
        (tensor("FP16", [1], [70000]), "an element of FP16 is a number up to 65504"),
        (tensor("FP64", [2], ["NaN", "1.5"]), "invalid string at data of input 'x'[1] '1.5'"),
        (tensor("FP64", [2], [math.nan, 10**400]), "invalid integer at data of input 'x'[1] 1000"),
        (tensor("FP64", [1], [{}]), "invalid object at data of input 'x'[0] {}"),
        (tensor("BYTES", [1], [5]), "invalid integer at data of input 'x'[0] 5: an element of BYTES is a string"),
        (tensor("BYTES", [2], ["NaN", "\ud800"]), "string of valid Unicode"),
        (tensor("INT32", [1], [1], parameters={"p": []}), "invalid parameter 'p' of input 'x' []"),
        (tensor("INT32", [1], [1], parameters=1), "invalid parameters of input 'x' 1"),
    ],
)
def test_a_wrong_tensor_is_named_with_what_is_wrong(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse(wrong)
    assert sentence in str(error.value)


def test_errors_stay_short_whatever_was_sent() -> None:
    with pytest.raises(InvalidInput) as error:
        parse(tensor("INT32", [1] * 10_000, ["x" * 100_000]))
    assert len(str(error.value)) < 1000


_NUMERIC = sorted(set(NUMPY_TYPE) - {"BF16", "FP16"})


@given(
    st.sampled_from(_NUMERIC).flatmap(
        lambda datatype: st.tuples(
            st.just(datatype), hnp.arrays(NUMPY_TYPE[datatype], hnp.array_shapes(min_side=0, max_dims=3, max_side=4))
        )
    )
)
def test_arrays_survive(case: tuple[str, np.ndarray[Any, Any]]) -> None:
    datatype, array = case
    request = parse(tensor(datatype, list(array.shape), array.tolist()))
    found = np.array(elements(request), array.dtype)
    assert found.tobytes() == array.ravel().tobytes() or np.array_equal(found, array.ravel(), equal_nan=True)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=3) | _JSON,
        "datatype": st.sampled_from(DATATYPES) | _JSON,
        "shape": st.lists(st.integers(0, 3), max_size=2) | _JSON,
        "data": _JSON | st.lists(st.floats() | st.integers(), max_size=4),
        "parameters": _JSON | st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9) | _JSON}),
    },
)
_DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"id": _JSON, "parameters": _JSON, "inputs": st.lists(_TENSORS, max_size=2) | _JSON, "outputs": _JSON}
)


@given(_DOCUMENTS, st.binary(max_size=12), st.booleans(), st.booleans())
def test_any_document_is_a_request_or_a_sentence(
    document: dict[str, Any], rest: bytes, binary: bool, outputs_as_inputs: bool
) -> None:
    text = json.dumps(document).encode()
    header_length = len(text) if binary else None
    body = text + rest if binary else text
    with contextlib.suppress(InvalidInput):
        request = request_from_json(body, header_length=header_length, outputs_as_inputs=outputs_as_inputs)
        type_inputs(request)
        take_binary_outputs(request)


@given(st.binary(max_size=40), st.none() | st.integers(-2, 45))
def test_any_bytes_are_a_request_or_a_sentence(body: bytes, header_length: int | None) -> None:
    with contextlib.suppress(InvalidInput):
        request_from_json(body, header_length=header_length)
