"""Records written with the registry schemas are read by the inference messages and the other way round."""

from mlops.v2_dataplane import v2_dataplane_pb2 as inference
from mlops.v2_dataplane.schema_registry import infer_request_pb2, infer_response_pb2


def test_a_request_keeps_its_bytes() -> None:
    request = inference.ModelInferRequest(model_name="iris", id="1", raw_input_contents=[b"\x00\x01"])
    request.parameters["flag"].bool_param = True
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    tensor.contents.fp32_contents.extend([1.5, -2.0])
    tensor.parameters["content_type"].string_param = "np"
    request.outputs.add(name="y")

    schema = infer_request_pb2.ModelInferRequest.FromString(request.SerializeToString(deterministic=True))

    assert schema.inputs[0].contents.fp32_contents == [1.5, -2.0]
    assert schema.inputs[0].parameters["content_type"].string_param == "np"
    assert schema.SerializeToString(deterministic=True) == request.SerializeToString(deterministic=True)


def test_a_response_keeps_its_bytes() -> None:
    response = inference.ModelInferResponse(model_name="iris", model_version="1", raw_output_contents=[b"\x05"])
    tensor = response.outputs.add(name="y", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"setosa")
    tensor.parameters["rows"].int64_param = 7

    schema = infer_response_pb2.ModelInferResponse.FromString(response.SerializeToString(deterministic=True))

    assert schema.outputs[0].contents.bytes_contents == [b"setosa"]
    assert schema.SerializeToString(deterministic=True) == response.SerializeToString(deterministic=True)
