"""A receiver of spans: OTLP over gRPC, as a collector takes them, kept for looking at."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


@dataclass(frozen=True)
class ReceivedSpan:
    """Identifiers are lower-case hexadecimal; `parent` is empty for the root of a trace. Times in nanoseconds."""

    service: str
    scope: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, Any]


class Receiver(TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.port = 0
        self._changed = asyncio.Event()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def Export(self, request: ExportTraceServiceRequest, _context: Any) -> ExportTraceServiceResponse:
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_received(service, scope.scope.name, span) for span in scope.spans]
        self._changed.set()
        return ExportTraceServiceResponse()

    def of(self, service: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.service == service]

    async def until(self, complete: Callable[[Sequence[ReceivedSpan]], bool], seconds: float = 20) -> None:
        """Wait until what has come is what is wanted. Raises TimeoutError with all that has come."""
        try:
            async with asyncio.timeout(seconds):
                while not complete(self.spans):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            came = "\n".join(f"{span.service}: {span.name} {span.id} below {span.parent}" for span in self.spans)
            raise TimeoutError(f"these spans came, and not all that were wanted:\n{came}") from None


@contextlib.asynccontextmanager
async def receiver(port: int = 0) -> AsyncIterator[Receiver]:
    """On loopback, on a free port unless one is named."""
    made = Receiver()
    server = grpc.aio.server()
    add_TraceServiceServicer_to_server(made, server)  # type: ignore[no-untyped-call]
    made.port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield made
    finally:
        await server.stop(None)


def _received(service: str, scope: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        scope=scope,
        name=span.name,
        kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == 2,
        attributes=_attributes(span.attributes),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
