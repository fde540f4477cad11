"""The spans of one call at this gateway: the call itself, its record on the way to Kafka, and the answer's record."""

from typing import Final

from services.pipelinegateway.calls import Call
from services.pipelinegateway.core.passed_headers import Header
from services.pipelinegateway.core.resources import route_of
from services.pipelinegateway.routes import Route
from shared.kafka import headers as kafka
from shared.kafka.reader import Record
from shared.tracing.context import extract
from shared.tracing.kafka_attributes import destination, of_record
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import CONSUMER, PRODUCER, SERVER, Tracer

_SERVER_SCOPE: Final = "pipelinegateway"
_KAFKA_SCOPE: Final = "KafkaManager"
_SERVER_ERRORS: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""Codes of failures that are not the caller's."""


def serve_http(tracer: Tracer, method: str, path: str, call: Call, received: list[Header]) -> Span:
    """The call, from its arrival to its answer. What is about no resource, as probes ask for it, has no span."""
    route = route_of(path)
    if not route:
        return NO_SPAN
    about = {kafka.REQUEST_ID: _request_id(call), "http.request.method": method, "http.route": route}
    return tracer.span(route, extract(received), SERVER, scope=_SERVER_SCOPE, attributes=about)


def serve_grpc(tracer: Tracer, service: str, method: str, call: Call, received: list[Header]) -> Span:
    """As `serve_http`."""
    about = {kafka.REQUEST_ID: _request_id(call), "rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    return tracer.span(f"{service}/{method}", extract(received), SERVER, scope=_SERVER_SCOPE, attributes=about)


def answered_http(span: Span, status: int) -> None:
    span.set("http.response.status_code", status)
    if status >= 500:
        span.fail(str(status))


def answered_grpc(span: Span, code: str) -> None:
    span.set("rpc.response.status_code", code)
    if code in _SERVER_ERRORS:
        span.fail(code)


def produce(tracer: Tracer, call: Call, route: Route) -> Span:
    """The request's record, until the broker has it."""
    if not call.span.recording:
        return call.span
    attributes = {
        kafka.REQUEST_ID: _request_id(call),
        route.resource.kind.value: route.resource.name,
        **destination(route.inputs),
    }
    return tracer.below(call.span, "Produce", PRODUCER, scope=_KAFKA_SCOPE, attributes=attributes)


def consumed(tracer: Tracer, record: Record, read_ns: int) -> None:
    """The answer's record, which was read at `read_ns` since the epoch, has reached its caller's task."""
    parent = extract(record.headers)
    if parent is None or not parent.trace_flags.sampled:
        return
    attributes = of_record(record.topic, record.headers)
    span = tracer.span("Consume", parent, CONSUMER, scope=_KAFKA_SCOPE, at_ns=read_ns, attributes=attributes)
    failed = kafka.text(record.headers, kafka.ERROR)
    if failed is not None:
        span.fail(f"error of {failed}")
    span.end()


def _request_id(call: Call) -> str:
    return call.request_id.decode(errors="replace")
