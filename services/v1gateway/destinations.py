"""What answers for a deployment: a model or a pipeline, asked through Envoy over gRPC."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from shared.errors import Code, DeadlineExceeded, NotFound, SeldonError, Unavailable
from shared.names import HEADER_MODEL, HEADER_ROUTE
from shared.rpc import channel, client_options, unlimited

Metadata: TypeAlias = Sequence[tuple[str, str]]

_KNOWN_SECONDS: Final = 30.0
"""How long what a model said about itself is believed; a new version is noticed by its route at once."""
_MOST_KNOWN: Final = 10_000
_PIPELINE: Final = ".pipeline"
_STATUS: Final = {"UNKNOWN": 400, "CANCELLED": 499, "ALREADY_EXISTS": 409, "ABORTED": 409, "OUT_OF_RANGE": 400}
_OWN: Final = {"UNAVAILABLE": Unavailable, "DEADLINE_EXCEEDED": DeadlineExceeded, "NOT_FOUND": NotFound}


class Refused(SeldonError):
    """What a model or a pipeline answered in place of a prediction, with its own code."""

    def __init__(self, sentence: str, code_name: str) -> None:
        super().__init__(sentence)
        self.code_name = code_name

    @property
    def http_status(self) -> int:
        if self.code_name in Code.__members__:
            return Code[self.code_name].http_status
        return _STATUS.get(self.code_name, 500)


def code_name(error: SeldonError) -> str:
    """The name of the gRPC code that a caller gets for this error."""
    return error.code_name if isinstance(error, Refused) else error.code.name


@dataclass(frozen=True, slots=True)
class Destination:
    """`scope` is what the header seldon-model says; `about` is its own metadata."""

    deployment: str
    scope: str
    route: str
    about: oip.ModelMetadataResponse
    since: float

    @property
    def is_pipeline(self) -> bool:
        return self.scope.endswith(_PIPELINE)


class Destinations:
    """Finds them, remembers them for a while, and asks them."""

    def __init__(self, envoy: str, timeout_seconds: float) -> None:
        self._channel = channel(envoy, unlimited(client_options()))
        self._stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._timeout = timeout_seconds
        self._known: dict[str, Destination] = {}

    async def close(self) -> None:
        await self._channel.close()

    def known(self, deployment: str) -> Destination | None:
        """As it answered before, however long ago. Only then its name may become a label."""
        return self._known.get(deployment)

    async def find(self, deployment: str) -> Destination:
        """A model of this name, else a pipeline; `<name>.pipeline` is the pipeline for certain.

        Raises NotFound when there is neither, and as `ask` does.
        """
        known = self._known.get(deployment)
        if known is not None and time.monotonic() - known.since < _KNOWN_SECONDS:
            return known
        scopes = (deployment,) if deployment.endswith(_PIPELINE) else (deployment, deployment + _PIPELINE)
        for scope in scopes:
            found = await self._look(deployment, scope)
            if found is not None:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[deployment] = found
                return found
        self._known.pop(deployment, None)
        raise NotFound(f"deployment {deployment!r} is unknown: neither a model nor a pipeline of this name is loaded")

    async def _look(self, deployment: str, scope: str) -> Destination | None:
        request = oip.ModelMetadataRequest(name=scope.removesuffix(_PIPELINE))
        if not _can_be_header(scope):
            return None
        call = self._stub.ModelMetadata(request, metadata=((HEADER_MODEL, scope),), timeout=self._timeout)
        try:
            about = await call
            route = _route(await call.initial_metadata())
        except grpc.aio.AioRpcError as error:
            if _nothing_there(error):
                return None
            raise _translated(error) from None
        return Destination(deployment, scope, route, about, time.monotonic())

    async def ask(
        self, destination: Destination, request: oip.ModelInferRequest, passed: Metadata
    ) -> tuple[oip.ModelInferResponse, str]:
        """The answer, and the route that it came by.

        Raises Refused for an error of the model, Unavailable, DeadlineExceeded, NotFound when it is gone.
        """
        request.model_name = destination.scope.removesuffix(_PIPELINE)
        metadata = (*passed, (HEADER_MODEL, destination.scope))
        call = self._stub.ModelInfer(request, metadata=metadata, timeout=self._timeout)
        try:
            response = await call
            route = _route(await call.initial_metadata()) or destination.route
        except grpc.aio.AioRpcError as error:
            if _nothing_there(error):
                self._known.pop(destination.deployment, None)
                raise NotFound(f"deployment {destination.deployment!r} is not loaded any more") from None
            raise _translated(error) from None
        if route != destination.route and not destination.is_pipeline:
            # Another version may take other tensors.
            self._known.pop(destination.deployment, None)
        return response, route


def _can_be_header(scope: str) -> bool:
    return scope.isascii() and scope.isprintable() and bool(scope.strip())


def _route(metadata: Any) -> str:
    return ", ".join(str(value) for name, value in metadata or () if name == HEADER_ROUTE)


def _nothing_there(error: grpc.aio.AioRpcError) -> bool:
    """Envoy answers itself, so that no route is named: no model or pipeline of this name is loaded."""
    named = _route(error.initial_metadata()) or _route(error.trailing_metadata())
    return error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND) and not named


def _translated(error: grpc.aio.AioRpcError) -> SeldonError:
    name, sentence = error.code().name, error.details() or error.code().name
    return _OWN[name](sentence) if name in _OWN else Refused(sentence, name)
