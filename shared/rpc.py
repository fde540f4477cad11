"""gRPC the same way in every service: options, channels, servers with reflection and health, errors at the edge."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shared.errors import SeldonError
from shared.logs import logger
from shared.ports import listening

_log = logger("rpc")

# Keepalive and limits that peers of this wire contract agree on.
CLIENT_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # A peer that comes back is found within a second or two, whatever the library's own back-off has grown to.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
SERVER_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.max_concurrent_streams", 1_000_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 60_000),
    # Two servers on one port would split the calls between them; a port that is taken must be an error.
    ("grpc.so_reuseport", 0),
)
INFERENCE_MESSAGE_LIMIT = 1000 * 1024 * 1024
"""Bytes; the limit of one message between proxies and inference servers."""


def unlimited(options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The same options with the inference message limit in both directions."""
    return [
        *options,
        ("grpc.max_receive_message_length", INFERENCE_MESSAGE_LIMIT),
        ("grpc.max_send_message_length", INFERENCE_MESSAGE_LIMIT),
    ]


def channel(target: str, options: Sequence[tuple[str, Any]] = CLIENT_OPTIONS) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(target, options=list(options))


async def abort_with(context: grpc.aio.ServicerContext[Any, Any], error: SeldonError) -> NoReturn:
    """End the call with the error's own status."""
    await context.abort(grpc.StatusCode[error.code.name], str(error))


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns SeldonError into its status, and anything unforeseen into INTERNAL with a log line."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        if handler.unary_unary:
            return _wrap_unary(handler, handler.unary_unary, grpc.unary_unary_rpc_method_handler, method)
        if handler.stream_unary:
            return _wrap_unary(handler, handler.stream_unary, grpc.stream_unary_rpc_method_handler, method)
        if handler.unary_stream:
            return _wrap_stream(handler, handler.unary_stream, grpc.unary_stream_rpc_method_handler, method)
        return _wrap_stream(handler, handler.stream_stream, grpc.stream_stream_rpc_method_handler, method)


async def _fail(context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> NoReturn:
    if isinstance(error, SeldonError):
        await abort_with(context, error)
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, NotImplementedError):
        # What the generated base class raises for a method that a service leaves out.
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not served here")
    # Here, because programs that only call others have no use for it and start faster without.
    from shared.tracing.log_fields import of_request

    _log.exception("call failed", method=method, **of_request(context.invocation_metadata() or ()), exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, f"{method} failed: {error!r}")


def _wrap_unary(handler: Any, behaviour: Any, build: Any, method: str) -> Any:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:
            await _fail(context, error, method)

    return build(call, handler.request_deserializer, handler.response_serializer)


def _wrap_stream(handler: Any, behaviour: Any, build: Any, method: str) -> Any:
    async def call(request: Any, context: Any) -> Any:
        try:
            responses = behaviour(request, context)
            if inspect.isawaitable(responses):
                # Not a generator: it writes to the context itself, as the health service does.
                await responses
                return
            async for response in responses:
                yield response
        except Exception as error:
            await _fail(context, error, method)

    return build(call, handler.request_deserializer, handler.response_serializer)


def server(
    services: Sequence[str],
    options: Sequence[tuple[str, Any]] = SERVER_OPTIONS,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> grpc.aio.Server:
    """A server that reports itself healthy and lists `services` (full names) to tools such as grpcurl.

    `interceptors` see each call first, and the status that was made of its error last.
    """
    made = grpc.aio.server(options=list(options), interceptors=[*interceptors, ErrorInterceptor()])
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, made)
    names = [*services, health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, made)
    for name in ("", *services):
        # `set` is a coroutine that never waits; driving it by hand keeps this function synchronous.
        _run_to_end(checks.set(name, health_pb2.HealthCheckResponse.SERVING))
    return made


def bind(made: grpc.aio.Server, host: str, port: int) -> None:
    """Take the port, without TLS. Raises Unavailable when that is not possible."""
    # The library says why a port cannot be had only on stderr, in its own words.
    listening(host, port).close()
    made.add_insecure_port(f"{host}:{port}")


def _run_to_end(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the health servicer waited where it never did before")


def why(error: grpc.aio.AioRpcError) -> str:
    """For people: what a failed call says, without how gRPC got there."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE and details.startswith("failed to connect to all addresses"):
        return details.rpartition(": ")[2].lower()
    return f"{code.name}: {details}"
