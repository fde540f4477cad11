"""gRPC requests through the agent to its inference server: messages as bytes, only the model's name is changed."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from services.agent.core.holdings import Holdings
from services.agent.core.inference_counts import OwnCounts
from services.agent.core.proxy_names import Addressed, resolve
from services.agent.proxy.cold_path import AskElsewhere, ColdPath, Miss
from services.agent.server.answers import grpc_says_not_loaded
from services.agent.server.client import SERVICE, InferenceServer
from services.agent.spans import Request
from shared.errors import InvalidInput, RejectedRequest, SeldonError
from shared.names import (
    HEADER_COUNTED,
    HEADER_ELSEWHERE,
    HEADER_FINAL,
    HEADER_INTERNAL_MODEL,
    HEADER_MODEL,
    HEADER_REQUEST_ID,
)
from shared.oip.rename import rename
from shared.rpc import server, server_options, unlimited
from shared.rpc_tracing import Metadata, client_span, server_span, with_trace
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import OFF, Tracer

_MODEL_METHODS = frozenset({"ModelInfer", "ModelMetadata", "ModelReady"})
_SERVER_METHODS = frozenset({"ServerLive", "ServerReady", "ServerMetadata"})
_STREAM_METHOD = "ModelStreamInfer"
_NOT_FORWARDED = frozenset({"user-agent", "content-type", "te", "host", "connection", HEADER_COUNTED, HEADER_ELSEWHERE})


class ReverseProxyGrpc(grpc.GenericRpcHandler):
    """Handler of the inference service; methods that it does not know end as UNIMPLEMENTED.

    `counts` gets the calls that did not come through Envoy, which counts its own.
    """

    def __init__(
        self,
        upstream: InferenceServer,
        holdings: Holdings,
        cold_path: ColdPath,
        counts: OwnCounts,
        tracer: Tracer = OFF,
    ) -> None:
        self._upstream = upstream
        self._holdings = holdings
        self._cold_path = cold_path
        self._counts = counts
        self._tracer = tracer

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        service, _, method = str(details.method).lstrip("/").partition("/")
        if service != SERVICE:
            return None
        if method == _STREAM_METHOD:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        if method not in _MODEL_METHODS | _SERVER_METHODS:
            return None
        unary: Any = self._upstream.inference.unary_unary(f"/{SERVICE}/{method}", None, None)

        async def call(request: bytes, context: Any) -> bytes:
            with self._call(context, method) as call:
                if method in _SERVER_METHODS:
                    return await self._server_call(unary, request, call)
                return await self._model_call(unary, request, call)

        return grpc.unary_unary_rpc_method_handler(call)

    async def _server_call(self, unary: Any, request: bytes, call: "_Call") -> bytes:
        try:
            return await self._ask(unary, request, call)
        except grpc.aio.AioRpcError as error:
            await _abort(error, call)
            raise

    async def _model_call(self, unary: Any, request: bytes, call: "_Call") -> bytes:
        internal = call.internal = self._internal_name(call.context)
        renamed = _renamed(request, internal)

        async def attempt(final: bool) -> bytes | Miss | grpc.aio.AioRpcError:
            try:
                return await self._ask(unary, renamed, call)
            except grpc.aio.AioRpcError as error:
                miss = None if final else _miss(error)
                return error if miss is None else miss

        about = Request.of(call.span, call.metadata)
        outcome = await self._cold_path.forward(internal, attempt, about, elsewhere=call.elsewhere)
        if isinstance(outcome, grpc.aio.AioRpcError):
            await _abort(outcome, call)
        assert isinstance(outcome, bytes)
        return outcome

    async def _ask(self, unary: Any, request: bytes, call: "_Call") -> bytes:
        with client_span(self._tracer, call.method, call.span, call.metadata) as span:
            metadata = with_trace(call.metadata, span)
            return await _pass_on(unary(request, metadata=metadata, timeout=call.context.time_remaining()), call)

    @contextlib.contextmanager
    def _call(self, context: Any, method: str, *, stream: bool = False) -> Iterator["_Call"]:
        """Traces what happens inside, and counts it when it has ended, in whatever way."""
        started, code = time.perf_counter(), grpc.StatusCode.OK.name
        name = f"{SERVICE}/{method}"
        told = {header for header, _ in context.invocation_metadata() or ()}
        call = _Call(context, name, _forwarded(context), HEADER_COUNTED in told, HEADER_ELSEWHERE in told)
        try:
            with server_span(self._tracer, name, context, call.metadata) as call.span:
                yield call
        except SeldonError as error:
            code = error.code.name
            context.set_trailing_metadata(call.marks(error))
            raise
        except grpc.aio.AbortError:
            code = _code_of(context)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED.name
            raise
        except Exception:
            code = grpc.StatusCode.INTERNAL.name
            raise
        finally:
            if not call.counted:
                self._counts.grpc(call.internal, code, time.perf_counter() - started, stream=stream)

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        with self._call(context, _STREAM_METHOD, stream=True) as call:
            call.internal = self._internal_name(context)
            with client_span(self._tracer, call.method, call.span, call.metadata) as span:
                async for response in self._model_stream(call, requests, with_trace(call.metadata, span)):
                    yield response

    async def _model_stream(
        self, call: "_Call", requests: AsyncIterator[bytes], metadata: Metadata
    ) -> AsyncIterator[bytes]:
        internal, context = call.internal, call.context

        async def ready(_: bool) -> bool:
            return True

        about = Request.of(call.span, call.metadata)
        await self._cold_path.forward(internal, ready, about, elsewhere=call.elsewhere)

        async def renamed() -> AsyncIterator[bytes]:
            async for request in requests:
                yield _renamed(request, internal)

        open_stream: Any = self._upstream.inference.stream_stream(f"/{SERVICE}/{_STREAM_METHOD}", None, None)
        upstream = open_stream(renamed(), metadata=metadata, timeout=context.time_remaining())
        try:
            await context.send_initial_metadata(_without_reserved(await upstream.initial_metadata()))
            async for response in upstream:
                yield response
            context.set_trailing_metadata(_with_request_id(await upstream.trailing_metadata(), metadata))
        except grpc.aio.AioRpcError as error:
            await _abort(error, call)
        finally:
            upstream.cancel()

    def _internal_name(self, context: Any) -> str:
        headers = [(name, value) for name, value in context.invocation_metadata() or () if isinstance(value, str)]
        addressed = Addressed.of(headers)
        if not addressed:
            raise RejectedRequest(
                f"failed to extract model name: {HEADER_INTERNAL_MODEL}={addressed.internal!r}, "
                f"{HEADER_MODEL}={addressed.external!r}; send one of these as metadata"
            )
        return resolve(addressed, self._holdings)


@dataclass
class _Call:
    context: Any
    method: str
    """With its service."""
    metadata: Metadata
    """The caller's, with a request id."""
    counted: bool
    """It comes from Envoy, which is to pass on what it is answered here."""
    elsewhere: bool
    """Other replicas can answer it, too."""
    span: Span = NO_SPAN
    internal: str = ""
    """Name of the model that answers, once it is known."""

    def marks(self, error: SeldonError) -> Metadata:
        """What tells Envoy whether to ask another replica."""
        if isinstance(error, AskElsewhere):
            return [(HEADER_ELSEWHERE, "yes")]
        return self.last_word(error.code.name)

    def last_word(self, code: str) -> Metadata:
        return [(HEADER_FINAL, "yes")] if self.counted and code == grpc.StatusCode.NOT_FOUND.name else []


def make_server(proxy: ReverseProxyGrpc) -> grpc.aio.Server:
    made = server([SERVICE], unlimited(server_options()))
    made.add_generic_rpc_handlers((proxy,))
    return made


def _code_of(context: Any) -> str:
    """Name of the status that a call was ended with; the library tells it as a number."""
    given = context.code()
    return next((code.name for code in grpc.StatusCode if given in (code, code.value[0])), grpc.StatusCode.UNKNOWN.name)


def _renamed(request: bytes, internal: str) -> bytes:
    try:
        return rename(request, internal)
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def _miss(error: grpc.aio.AioRpcError) -> Miss | None:
    if grpc_says_not_loaded(error.code().name, error.details() or ""):
        return Miss.NOT_LOADED
    return Miss.NO_SERVER if error.code() is grpc.StatusCode.UNAVAILABLE else None


async def _pass_on(upstream: Any, call: _Call) -> bytes:
    """Wait for a unary answer and give the caller its metadata. A caller that goes away ends the call."""
    try:
        response: bytes = await upstream
    except asyncio.CancelledError:
        upstream.cancel()
        raise
    await call.context.send_initial_metadata(_without_reserved(await upstream.initial_metadata()))
    call.context.set_trailing_metadata(_with_request_id(await upstream.trailing_metadata(), call.metadata))
    return response


async def _abort(error: grpc.aio.AioRpcError, call: _Call) -> None:
    """End the call as the server did; never returns."""
    trailing = [
        *_with_request_id(error.trailing_metadata() or (), call.metadata),
        *call.last_word(error.code().name),
    ]
    if call.elsewhere and error.code() is grpc.StatusCode.UNAVAILABLE:
        trailing.append((HEADER_ELSEWHERE, "yes"))
    await call.context.abort(error.code(), error.details() or "", trailing)


def _forwarded(context: Any) -> Metadata:
    """The caller's metadata, with a request id made up when it sent none."""
    metadata = _without_reserved(context.invocation_metadata() or ())
    if not any(name == HEADER_REQUEST_ID for name, _ in metadata):
        metadata.append((HEADER_REQUEST_ID, uuid.uuid4().hex))
    return metadata


def _without_reserved(metadata: Any) -> Metadata:
    return [
        (name, value) for name, value in metadata if not name.startswith(("grpc-", ":")) and name not in _NOT_FORWARDED
    ]


def _with_request_id(trailing: Any, metadata: Sequence[tuple[str, str | bytes]]) -> Metadata:
    passed = _without_reserved(trailing)
    if any(name == HEADER_REQUEST_ID for name, _ in passed):
        return passed
    return [*passed, next(item for item in metadata if item[0] == HEADER_REQUEST_ID)]
