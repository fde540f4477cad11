"""Bodies of REST requests and replies as the messages on Kafka, and back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import DecodeError
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from services.pipelinegateway.core.answers import BadAnswer
from shared.asgi import JSON, Headers
from shared.errors import InvalidInput
from shared.oip.binary_tensors import BinaryOutputs, take_binary_outputs
from shared.oip.json_codec import request_from_json, response_to_binary

_LARGE: Final = 512 * 1024
"""Bytes; larger ones are converted beside the event loop, which goes on serving others."""
_BYTES: Final = b"application/octet-stream"
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Decoded:
    value: bytes
    """The serialised ModelInferRequest."""
    binary: BinaryOutputs
    """Which outputs are wanted as bytes behind the reply's JSON."""


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes
    headers: Headers
    """Those that describe the body."""


async def decode(body: bytes, header_length: int | None) -> Decoded:
    """Raises InvalidInput."""
    return await _beside(len(body), lambda: _decode(body, header_length))


async def encode(answer: bytes, request: Decoded) -> Reply:
    """The reply for a serialised ModelInferResponse. Raises BadAnswer when it is none."""
    return await _beside(len(answer), lambda: _encode(answer, request))


def check_request(request: ModelInferRequest) -> None:
    """Raises InvalidInput for a request that no pipeline would pass on."""
    if not request.inputs:
        raise InvalidInput.of_field("inputs", [], "send at least one tensor")


def _decode(body: bytes, header_length: int | None) -> Decoded:
    request = request_from_json(body, header_length=header_length)
    check_request(request)
    binary = take_binary_outputs(request)
    return Decoded(request.SerializeToString(), binary)


def _encode(answer: bytes, request: Decoded) -> Reply:
    try:
        response = ModelInferResponse.FromString(answer)
    except DecodeError as error:
        raise BadAnswer(f"the answer is no ModelInferResponse: {error}") from None
    try:
        body, json_bytes = response_to_binary(response, request.binary)
    except InvalidInput as error:
        raise BadAnswer(f"the answer cannot be written as JSON: {error}") from None
    if json_bytes is None:
        return Reply(body, [(b"content-type", JSON)])
    return Reply(body, [(b"content-type", _BYTES), (b"inference-header-content-length", str(json_bytes).encode())])


async def _beside(size: int, work: Callable[[], _Result]) -> _Result:
    return await asyncio.to_thread(work) if size > _LARGE else work()
