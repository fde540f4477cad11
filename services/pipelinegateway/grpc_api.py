"""The gRPC side: messages of callers go to Kafka as the bytes that they are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from services.pipelinegateway.calls import Call
from services.pipelinegateway.core.answers import code_name
from services.pipelinegateway.core.passed_headers import Header
from services.pipelinegateway.core.pipeline_metadata import to_proto
from services.pipelinegateway.core.resources import Kind, Resource, resource_of
from services.pipelinegateway.gateway import EXTENSIONS, NAME, Gateway, timeout_header
from services.pipelinegateway.metrics import GRPC, GatewayMetrics
from services.pipelinegateway.rest_codec import selected_bytes, wanted_of
from services.pipelinegateway.spans import answered_grpc, serve_grpc
from shared.errors import InvalidInput, NotFound, NotImplementedYet, SeldonError
from shared.grpc_codes import camel_case
from shared.logs import logger
from shared.names import HEADER_REQUEST_ID
from shared.rpc import server, server_options, unlimited
from shared.version import VERSION

SERVICE: Final = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_BINARY: Final = "-bin"
_LAST_MESSAGES_SECONDS: Final = 0.5
_log = logger("grpc")

Metadata: TypeAlias = list[tuple[str, str | bytes]]


class GrpcApi(grpc.GenericRpcHandler):
    """Handler of the inference service; methods that it does not know end as UNIMPLEMENTED."""

    def __init__(self, gateway: Gateway, metrics: GatewayMetrics) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._handlers = {
            # On the wire both are the same; this one is called before its message has been read.
            "ModelInfer": grpc.stream_unary_rpc_method_handler(self._infer),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self._stream),
            "ModelReady": _unary(self._model_ready, oip.ModelReadyRequest),
            "ModelMetadata": _unary(self._model_metadata, oip.ModelMetadataRequest),
            "ServerLive": _unary(self._server_live, oip.ServerLiveRequest),
            "ServerReady": _unary(self._server_ready, oip.ServerReadyRequest),
            "ServerMetadata": _unary(self._server_metadata, oip.ServerMetadataRequest),
        }

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        service, _, method = str(details.method).lstrip("/").partition("/")
        return self._handlers.get(method) if service == SERVICE else None

    async def _infer(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        call, received = self._arrive(context, "ModelInfer")
        code = "INTERNAL"
        try:
            answer = await self._exchange(requests, context, call, received)
            await context.send_initial_metadata(_metadata(call))
            code = "OK"
            return answer
        except SeldonError as error:
            code = code_name(error)
            # Raised here, so that the status is the one that came back even where it is not one of our own errors'.
            again = [] if error.retry_after is None else [("retry-after", str(error.retry_after))]
            await context.abort(grpc.StatusCode[code], str(error), (*_metadata(call), *again))
            raise
        except Exception as error:
            _log.exception("call failed", method="ModelInfer", **call.in_log)
            await context.abort(grpc.StatusCode.INTERNAL, f"the call failed: {error!r}", tuple(_metadata(call)))
            raise
        except BaseException:
            code = _code_of_end(context)
            raise
        finally:
            _end(call, code)
            self._metrics.inferred(call.resource, GRPC, camel_case(code), call.seconds)

    async def _exchange(
        self, requests: AsyncIterator[bytes], context: Any, call: Call, received: list[Header]
    ) -> bytes:
        patience = self._gateway.patience(timeout_header(received), context.time_remaining())
        route = await self._gateway.route(call, resource_of(received, None))
        with self._gateway.admission.enter() as admitted:
            request = await _only(requests)
            admitted.hold(len(request))
            beside = self._gateway.beside
            outputs = await beside.run(len(request), wanted_of, request)
            answer = await self._gateway.infer(call, route, request, patience)
            if answer is None:
                # A call has to be answered; this one says no more than that the request was taken.
                return b""
            return await beside.run(len(answer), selected_bytes, answer, outputs, str(route.resource))

    async def _stream(self, requests: AsyncIterator[bytes], _context: Any) -> None:
        # The callers' library loses the sentence of a call that ends while a message of theirs is on its way.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_MESSAGES_SECONDS):
                async for _ in requests:
                    pass
        raise NotImplementedYet("pipelines are not served as streams: call ModelInfer for each request")

    async def _model_ready(self, request: oip.ModelReadyRequest, context: Any) -> oip.ModelReadyResponse:
        with self._asked(context, "ModelReady") as (call, received):
            missing = await self._gateway.not_ready(_named(received, request.name), call)
            return oip.ModelReadyResponse(ready=not missing)

    async def _model_metadata(self, request: oip.ModelMetadataRequest, context: Any) -> oip.ModelMetadataResponse:
        with self._asked(context, "ModelMetadata") as (call, received):
            resource = _named(received, request.name)
            if resource.kind is Kind.MODEL:
                raise NotFound(
                    f"metadata is that of pipelines, and {resource.name} is a model: ask without this gateway"
                )
            return to_proto(await self._gateway.metadata(resource, call))

    async def _server_live(self, _request: oip.ServerLiveRequest, _context: Any) -> oip.ServerLiveResponse:
        return oip.ServerLiveResponse(live=True)

    async def _server_ready(self, _request: oip.ServerReadyRequest, _context: Any) -> oip.ServerReadyResponse:
        return oip.ServerReadyResponse(ready=not self._gateway.closed)

    async def _server_metadata(self, _request: oip.ServerMetadataRequest, _context: Any) -> oip.ServerMetadataResponse:
        return oip.ServerMetadataResponse(name=NAME, version=VERSION, extensions=EXTENSIONS)

    @contextlib.contextmanager
    def _asked(self, context: Any, method: str) -> Iterator[tuple[Call, list[Header]]]:
        """A call that is no inference, and its headers."""
        call, received = self._arrive(context, method)
        code = "INTERNAL"
        try:
            yield call, received
            code = "OK"
        except SeldonError as error:
            code = code_name(error)
            raise
        finally:
            _end(call, code)

    def _arrive(self, context: Any, method: str) -> tuple[Call, list[Header]]:
        received = [
            (name, value if isinstance(value, bytes) else value.encode())
            for name, value in context.invocation_metadata() or ()
        ]
        ids = [value for name, value in received if name == HEADER_REQUEST_ID and value]
        call = self._gateway.arrive(received, ids[-1] if ids else None)
        tracer = self._gateway.tracer
        if tracer.on:
            call.span = serve_grpc(tracer, SERVICE, method, call, received)
        return call, received


def make_server(api: GrpcApi) -> grpc.aio.Server:
    made = server([SERVICE], unlimited(server_options()))
    made.add_generic_rpc_handlers((api,))
    return made


def _unary(behaviour: Any, request: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=request.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


async def _only(requests: AsyncIterator[bytes]) -> bytes:
    async for request in requests:
        return request
    raise InvalidInput("the call has no message: send a ModelInferRequest")


def _named(received: Sequence[Header], name: str) -> Resource:
    return resource_of(received, Resource(Kind.PIPELINE, name) if name else None)


def _metadata(call: Call) -> Metadata:
    return [
        (name, value if name.endswith(_BINARY) else value.decode("ascii", errors="replace"))
        for name, value in call.reply_headers
    ]


def _end(call: Call, code: str) -> None:
    if call.span.recording:
        answered_grpc(call.span, code)
        call.span.end()


def _code_of_end(context: Any) -> str:
    """Of a call that its caller or the server ended."""
    left = context.time_remaining()
    return "DEADLINE_EXCEEDED" if left is not None and left <= 0 else "CANCELLED"
