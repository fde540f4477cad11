"""Spans of gRPC calls: of those that a server answers, and of those that a service makes."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio

from shared.names import HEADER_REQUEST_ID
from shared.tracing.context import extract
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import CLIENT, SERVER, Tracer

# Asked again and again by whoever watches over a service: nobody looks for the trace of that.
_UNTRACED_SERVICES: Final = ("grpc.", "seldon.mlops.health.")
Metadata: TypeAlias = list[tuple[str, str | bytes]]


class TracingInterceptor(grpc.aio.ServerInterceptor):
    """A span for each call with one answer. Subscriptions have none: it would not be seen before they end."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method).lstrip("/")
        if handler is None or not handler.unary_unary or method.startswith(_UNTRACED_SERVICES):
            return handler
        behaviour = handler.unary_unary

        async def call(request: Any, context: Any) -> Any:
            with server_span(self._tracer, method, context, context.invocation_metadata() or ()):
                return await behaviour(request, context)

        return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)


def traced(tracer: Tracer) -> list[grpc.aio.ServerInterceptor]:
    """What a server needs to be traced; nothing when tracing is off."""
    return [TracingInterceptor(tracer)] if tracer.on else []


@contextlib.contextmanager
def server_span(
    tracer: Tracer, method: str, context: Any, metadata: Sequence[tuple[str, str | bytes]]
) -> Iterator[Span]:
    """Around the answering of a call of `method`, `<service>/<name>`, below the span that its metadata names."""
    if not tracer.on:
        yield NO_SPAN
        return
    span = tracer.span(method, extract(metadata), SERVER, attributes=_about(method, metadata))
    try:
        yield span
    except BaseException as error:
        # An abort says nothing itself: what the caller is told stands in the context.
        told_caller = _text(context.details()) if isinstance(error, grpc.aio.AbortError) else str(error)
        span.fail(told_caller or type(error).__name__)
        raise
    finally:
        span.end()


def client_span(tracer: Tracer, method: str, under: Span, metadata: Sequence[tuple[str, str | bytes]] = ()) -> Span:
    """For a call of `method`, `<service>/<name>`, made as a part of `under`, with the `metadata` that it passes on."""
    if not under.recording:
        return under
    return tracer.below(under, method, CLIENT, attributes=_about(method, metadata))


def with_trace(metadata: Metadata, span: Span) -> Metadata:
    """The metadata of a call that passes on its caller's, with `span` as the parent of what follows."""
    headers = span.headers()
    names = [name for name, _ in headers]
    return [*(pair for pair in metadata if pair[0] not in names), *headers] if headers else metadata


def _about(method: str, metadata: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    service, _, name = method.partition("/")
    known = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
    given = next((value for key, value in metadata if key == HEADER_REQUEST_ID), "")
    return {**known, HEADER_REQUEST_ID: str(given)} if given else known


def _text(details: str | bytes) -> str:
    return details if isinstance(details, str) else details.decode("utf-8", "replace")
