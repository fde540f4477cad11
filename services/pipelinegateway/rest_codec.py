"""Bodies of REST requests and replies as the messages on Kafka, and back."""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from services.pipelinegateway.core.answers import BadAnswer
from shared.asgi import JSON, Headers
from shared.errors import InvalidInput
from shared.oip.binary_tensors import BinaryOutputs, take_binary_outputs
from shared.oip.json_codec import request_from_json, response_to_binary
from shared.oip.selection import select_outputs

_BYTES: Final = b"application/octet-stream"


@dataclass(frozen=True, slots=True)
class Decoded:
    value: bytes
    """The serialised ModelInferRequest."""
    outputs: tuple[str, ...]
    """Names of those that are wanted; none for all."""
    binary: BinaryOutputs
    """Which outputs are wanted as bytes behind the reply's JSON."""


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes
    headers: Headers
    """Those that describe the body."""


def decode(body: bytes, header_length: int | None) -> Decoded:
    """Raises InvalidInput."""
    request = request_from_json(body, header_length=header_length)
    outputs = wanted_outputs(request)
    binary = take_binary_outputs(request)
    return Decoded(request.SerializeToString(), outputs, binary)


def encode(answer: bytes, outputs: tuple[str, ...], binary: BinaryOutputs, whose: str) -> Reply:
    """The reply for a serialised ModelInferResponse of `whose`.

    Raises InvalidInput for an output that is wanted and not there, BadAnswer when the answer is none.
    """
    response = selected(answer, outputs, whose)
    try:
        body, json_bytes = response_to_binary(response, binary)
    except InvalidInput as error:
        raise BadAnswer(f"the answer cannot be written as JSON: {error}") from None
    if json_bytes is None:
        return Reply(body, [(b"content-type", JSON)])
    return Reply(body, [(b"content-type", _BYTES), (b"inference-header-content-length", str(json_bytes).encode())])


def wanted_outputs(request: ModelInferRequest) -> tuple[str, ...]:
    """Names of the outputs that a request asks for. Raises InvalidInput for one that no pipeline would pass on."""
    if not request.inputs:
        raise InvalidInput.of_field("inputs", [], "send at least one tensor")
    return tuple(output.name for output in request.outputs)


def wanted_of(request: bytes) -> tuple[str, ...]:
    """The same for a serialised request; raises InvalidInput for what is none, too."""
    try:
        return wanted_outputs(ModelInferRequest.FromString(request))
    except DecodeError as error:
        raise InvalidInput(f"the message is no ModelInferRequest: {error}") from None


def selected_bytes(answer: bytes, outputs: tuple[str, ...], whose: str) -> bytes:
    """A serialised response with these outputs; itself when all are wanted. Raises as `selected` does."""
    response = selected(answer, outputs, whose)
    return response.SerializeToString() if outputs else answer


def selected(answer: bytes, outputs: tuple[str, ...], whose: str) -> ModelInferResponse:
    """The response with these outputs, or with all when none are named.

    Raises InvalidInput for an output that is not there, BadAnswer when the answer of `whose` is none.
    """
    try:
        response = ModelInferResponse.FromString(answer)
    except DecodeError as error:
        raise BadAnswer(f"the answer of {whose} is no ModelInferResponse: {error}") from None
    return select_outputs(response, outputs, whose) if outputs else response
