"""gRPC the same way in every service: options, channels, servers with reflection and health, errors at the edge."""

import inspect
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shared import timing
from shared.errors import InvalidInput, SeldonError
from shared.logs import logger
from shared.ports import listening

_log = logger("rpc")

_SECONDS_VARIABLE = "GRPC_KEEPALIVE_SECONDS"
_ANSWER_VARIABLE = "GRPC_KEEPALIVE_ANSWER_SECONDS"
Options: TypeAlias = Sequence[tuple[str, Any]]


def client_options() -> Options:
    """Of channels to our own servers and to Envoy. Raises InvalidInput for a wrong setting of the keepalive."""
    return (*_keepalive(_seconds(_SECONDS_VARIABLE, timing.KEEPALIVE_SECONDS)), *_RECONNECT)


def foreign_client_options() -> Options:
    """Of channels to inference servers, which hang up on clients that ask often. Raises as `client_options`."""
    # Nor do they like to be asked between calls.
    return (*_keepalive(timing.FOREIGN_KEEPALIVE_SECONDS, between_calls=False), *_RECONNECT)


def server_options() -> Options:
    """Raises as `client_options`."""
    asked_every = _seconds(_SECONDS_VARIABLE, timing.KEEPALIVE_SECONDS)
    return (
        *_keepalive(asked_every),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(min(timing.SHORTEST_PING_SECONDS, asked_every / 2))),
        ("grpc.max_concurrent_streams", 1_000_000),
        # Two servers on one port would split the calls between them; a port that is taken must be an error.
        ("grpc.so_reuseport", 0),
    )


_RECONNECT: Options = (
    # A peer that comes back is found within a second or two, whatever the library's own back-off has grown to.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def _keepalive(seconds: float, *, between_calls: bool = True) -> Options:
    answer = _seconds(_ANSWER_VARIABLE, timing.KEEPALIVE_ANSWER_SECONDS)
    return (
        ("grpc.keepalive_time_ms", _ms(seconds)),
        ("grpc.keepalive_timeout_ms", _ms(answer)),
        # The library has a patience of its own with unanswered questions, a minute, and the longer of both counts.
        ("grpc.http2.ping_timeout_ms", _ms(answer)),
        # The next call must not be the first to find out.
        ("grpc.keepalive_permit_without_calls", int(between_calls)),
        # Subscriptions are quiet for days; the library would stop asking after two questions.
        ("grpc.http2.max_pings_without_data", 0),
    )


def _seconds(variable: str, default: float) -> float:
    given = os.environ.get(variable, "")
    if not given:
        return default
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not _SHORTEST <= value <= _LONGEST:
        raise InvalidInput.of_field(variable, given, f"seconds from {_SHORTEST:g} to {_LONGEST:g}")
    return value


_SHORTEST, _LONGEST = 0.05, 7200.0


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


INFERENCE_MESSAGE_LIMIT = 1000 * 1024 * 1024
"""Bytes; the limit of one message between proxies and inference servers."""


def unlimited(options: Options) -> list[tuple[str, Any]]:
    """The same options with the inference message limit in both directions."""
    return [
        *options,
        ("grpc.max_receive_message_length", INFERENCE_MESSAGE_LIMIT),
        ("grpc.max_send_message_length", INFERENCE_MESSAGE_LIMIT),
    ]


def channel(target: str, options: Options | None = None) -> grpc.aio.Channel:
    """A channel without TLS, with `client_options` unless others are given."""
    return grpc.aio.insecure_channel(target, options=list(client_options() if options is None else options))


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
    options: Options | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> grpc.aio.Server:
    """A server that reports itself healthy and lists `services` (full names) to tools such as grpcurl.

    It has `server_options` unless others are given. `interceptors` see each call first, and the status that was made of
    its error last.
    """
    chosen = server_options() if options is None else options
    made = grpc.aio.server(options=list(chosen), interceptors=[*interceptors, ErrorInterceptor()])
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
