"""Inference over gRPC."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

import grpc
from google.protobuf.json_format import Parse, ParseError
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest
from mlops.v2_dataplane.v2_dataplane_pb2_grpc import GRPCInferenceServiceStub

from services.cli.config_file import Tls
from services.cli.failures import unreachable_hint
from services.cli.grpc_channel import open_channel, sentence
from services.cli.infer import Reply, transcript_lines
from services.cli.proto_text import proto_json
from shared.errors import InvalidInput
from shared.names import HEADER_ROUTE
from shared.oip.tensors import type_outputs

_RETRIES: Final = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}


def parse_request(data: str, name: str) -> ModelInferRequest:
    """proto3 JSON, names in camelCase or snake_case; the model name is always `name`. Raises InvalidInput."""
    try:
        request = Parse(data, ModelInferRequest())
    except ParseError as error:
        raise InvalidInput(f"the data is no inference request: {error}") from None
    request.model_name = name
    return request


class GrpcInferenceClient:
    """Calls to the data plane at `host` (host:port); a context manager."""

    def __init__(self, host: str, authority: str = "", tls: Tls | None = None) -> None:
        self._host = host
        self._channel = open_channel(host, authority, tls, [("grpc.service_config", json.dumps(_RETRIES))])
        self._stub = GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def infer(self, request: ModelInferRequest, headers: Sequence[tuple[str, str]]) -> Reply:
        """Never raises for a failed call; raw outputs come back typed."""
        try:
            response, call = self._stub.ModelInfer.with_call(request, metadata=tuple(headers))
        except grpc.RpcError as error:
            return self._refusal(error, headers)
        return Reply(
            ok=True,
            code=0,
            routes=_routes(call),
            text=proto_json(type_outputs(response), indent=None),
            transcript=_transcript(headers, call),
        )

    def _refusal(self, error: Any, headers: Sequence[tuple[str, str]]) -> Reply:
        unavailable = error.code() is grpc.StatusCode.UNAVAILABLE
        hint = unreachable_hint("data plane", self._host, "--inference-host", "SELDON_INFER_HOST")
        return Reply(
            ok=False,
            code=error.code().value[0],
            routes=_routes(error),
            text=sentence(error),
            hint=hint if unavailable else "",
            transcript=_transcript(headers, error),
        )


def _routes(call: Any) -> tuple[str, ...]:
    return tuple(value for name, value in _pairs(call.initial_metadata()) if name == HEADER_ROUTE)


def _transcript(sent: Sequence[tuple[str, str]], call: Any) -> str:
    lines = [
        *transcript_lines("> ", sent),
        "",
        *transcript_lines("< ", _pairs(call.initial_metadata())),
        *transcript_lines("<< ", _pairs(call.trailing_metadata())),
        "",
    ]
    return "\n".join(lines)


def _pairs(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[tuple[str, str]]:
    return [
        (name, value.decode(errors="replace") if isinstance(value, bytes) else value) for name, value in metadata or ()
    ]
