"""What is done with one span: attributes, its end, and the headers that make others its children."""

from collections.abc import Iterable
from types import TracebackType
from typing import Final

from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode
from opentelemetry.trace import Span as OtelSpan

from shared.tracing.context import TRACEPARENT, TRACESTATE, traceparent

_CONTEXT_HEADERS: Final = frozenset({TRACEPARENT, TRACESTATE})


class Span:
    """One span; ends once. As a context manager, it ends with the block, and failed when an exception leaves it."""

    __slots__ = ("_span",)

    recording = True
    """Goes to the collector, so that attributes are worth their making."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    @property
    def context(self) -> SpanContext | None:
        """To begin children with; None when there is no trace."""
        return self._span.get_span_context()

    def set(self, name: str, value: str | int | float | bool) -> None:
        self._span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        """What it is about ended in an error."""
        self._span.set_status(Status(StatusCode.ERROR, reason))

    def end(self, at_ns: int | None = None) -> None:
        """Now, or at a time in nanoseconds since the epoch."""
        self._span.end(at_ns)

    def carried_by(self, headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """The headers of a request or record whose receiver continues below this span."""
        kept = [header for header in headers if header[0] not in _CONTEXT_HEADERS]
        return kept + [(name, value.encode()) for name, value in self.headers()]

    def headers(self) -> list[tuple[str, str]]:
        """W3C trace context with this span as the parent."""
        context = self._span.get_span_context()
        headers = [(TRACEPARENT, traceparent(context))]
        if context.trace_state:
            headers.append((TRACESTATE, context.trace_state.to_header()))
        return headers

    def __enter__(self) -> "Span":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.fail(str(error) or type(error).__name__)
        self.end()


class Unrecorded(Span):
    """Of a trace that is not sampled. It only tells those behind that this has been decided."""

    __slots__ = ()
    recording = False

    def __init__(self, context: SpanContext) -> None:
        super().__init__(NonRecordingSpan(context))


class NoSpan(Span):
    """Tracing is off, or whoever asked has decided against it: headers travel as they are."""

    __slots__ = ()
    recording = False

    def __init__(self) -> None: ...

    @property
    def context(self) -> None:
        return None

    def set(self, name: str, value: str | int | float | bool) -> None: ...

    def fail(self, reason: str) -> None: ...

    def end(self, at_ns: int | None = None) -> None: ...

    def carried_by(self, headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return headers if isinstance(headers, list) else list(headers)

    def headers(self) -> list[tuple[str, str]]:
        return []


NO_SPAN: Final = NoSpan()
