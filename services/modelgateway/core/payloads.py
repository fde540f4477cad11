"""Values of input records, in whatever encoding a producer chose, as serialised inference requests."""

import re
from typing import Final

from google.protobuf.message import DecodeError
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from shared.errors import InvalidInput
from shared.kafka.framing import message_start
from shared.oip.json_codec import request_from_json, response_to_json
from shared.oip.tensors import raw_inputs

_JSON: Final = re.compile(rb"[\t\n\r ]*[\[{]")
_JSON_STARTS: Final = (0x5B, 0x7B)
_ENCODINGS: Final = (
    "json/infermodelrequest",
    "json/infermodelresponse",
    "proto/infermodelrequest",
    "proto/infermodelresponse",
)


class Poison(InvalidInput):
    """No call can be made of a record. `kind` is for metrics: few different words."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind

    def __reduce__(self) -> tuple[type["Poison"], tuple[str, str]]:
        return Poison, (self.kind, str(self))


def request_of(value: bytes | None, infer_type: str | None) -> bytes:
    """A serialised ModelInferRequest; the value itself when it is one.

    `infer_type` is the producer's word on the encoding, if it gave any. A response becomes a request whose inputs are
    its outputs. Raises Poison.
    """
    if value is None:
        raise Poison("empty", "the record has no value: write an inference request")
    # No protobuf message begins with 0.
    message = value[message_start(value) :]
    if infer_type is not None:
        return _declared(message, infer_type)
    if _JSON.match(message) is None:
        return _from_protobuf(message)
    if message[0] in _JSON_STARTS:
        return _from_json(message)
    try:
        return _from_json(message)
    except Poison as not_json:
        # White space is also how some protobuf messages begin.
        try:
            return _from_protobuf(message)
        except Poison:
            raise not_json from None


def in_json(infer_type: str | None) -> bool:
    """Whether a producer said that it writes JSON: it is answered in JSON."""
    return infer_type is not None and infer_type.lower().startswith("json/")


def json_of(reply: bytes) -> bytes:
    """The JSON text of a serialised ModelInferResponse. Raises InvalidInput when it is none."""
    try:
        return response_to_json(ModelInferResponse.FromString(reply))
    except DecodeError as error:
        raise InvalidInput(f"the reply is no ModelInferResponse: {error}") from None


def in_raw(request: bytes) -> bytes:
    """The same request with raw contents; itself when it has them already, or contradicts itself."""
    message = ModelInferRequest.FromString(request)
    if len(message.raw_input_contents) == len(message.inputs):
        return request
    try:
        return raw_inputs(message).SerializeToString()
    except InvalidInput:
        return request


def _declared(message: bytes, infer_type: str) -> bytes:
    encoding = infer_type.lower()
    if encoding not in _ENCODINGS:
        known = "json/inferModelRequest, json/inferModelResponse, proto/InferModelRequest, proto/InferModelResponse"
        raise Poison("infer-type", str(InvalidInput.of_field("seldon-infer-type", infer_type[:100], f"use {known}")))
    if encoding.startswith("json/"):
        return _from_json(message)
    if encoding.endswith("response"):
        return _from_response(message)
    try:
        ModelInferRequest.FromString(message)
    except DecodeError:
        raise _not_protobuf("ModelInferRequest") from None
    return message


def _from_json(message: bytes) -> bytes:
    try:
        return request_from_json(message, outputs_as_inputs=True).SerializeToString()
    except InvalidInput as error:
        raise Poison("json", str(error)) from None
    except ValueError as error:  # more than protobuf can serialise
        raise Poison("json", f"the request is too large: {error}") from None


def _from_protobuf(message: bytes) -> bytes:
    """Requests and responses differ in fields 6 and 7 only, and raw contents of a response may look like one."""
    try:
        request = ModelInferRequest.FromString(message)
    except DecodeError:
        return _from_response(message)
    if request.raw_input_contents or not request.outputs or len(request.outputs) != len(request.inputs):
        return message
    if any(tensor.HasField("contents") or 0 in tensor.shape for tensor in request.inputs):
        return message
    try:
        return _from_response(message)
    except Poison:
        return message


def _from_response(message: bytes) -> bytes:
    try:
        response = ModelInferResponse.FromString(message)
    except DecodeError:
        raise _not_protobuf("ModelInferRequest or ModelInferResponse") from None
    raw = list(response.raw_output_contents)
    for field in ("model_name", "model_version", "raw_output_contents"):
        response.ClearField(field)
    # Without those fields the two messages are alike.
    request = ModelInferRequest.FromString(response.SerializeToString())
    request.raw_input_contents.extend(raw)
    return request.SerializeToString()


def _not_protobuf(kind: str) -> Poison:
    return Poison("protobuf", f"the record's value is no {kind} in protobuf, nor JSON")
