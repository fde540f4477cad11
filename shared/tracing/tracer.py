"""The spans of one process, on their way to an OTLP receiver."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TracerProvider,
    set_span_in_context,
)

from shared.tracing.config import TracingConfig
from shared.tracing.spans import NO_SPAN, Span, Unrecorded

CLIENT: Final = SpanKind.CLIENT
SERVER: Final = SpanKind.SERVER
PRODUCER: Final = SpanKind.PRODUCER
CONSUMER: Final = SpanKind.CONSUMER
INTERNAL: Final = SpanKind.INTERNAL

_NO_PARENT: Final = set_span_in_context(INVALID_SPAN)


class Tracer:
    """Begins spans. Made by `tracing`; `OFF` is the one of a process that does not trace."""

    def __init__(self, provider: TracerProvider | None) -> None:
        self._provider = provider
        self._scopes = {"": provider.get_tracer("seldon")} if provider else {}

    @property
    def on(self) -> bool:
        return self._provider is not None

    def span(
        self,
        name: str,
        parent: SpanContext | None,
        kind: SpanKind = SpanKind.INTERNAL,
        *,
        scope: str = "",
        at_ns: int | None = None,
        links: Sequence[SpanContext] = (),
        attributes: Mapping[str, str | int | float | bool] | None = None,
    ) -> Span:
        """Begin a span, now or at a time in nanoseconds since the epoch.

        `parent` comes from `context.extract`, or from another span; without one a trace begins here, if the ratio has
        it so. `scope` is the instrumentation's name, where one is documented.
        """
        if self._provider is None or (parent is not None and not parent.trace_flags.sampled):
            return NO_SPAN
        tracer = self._scopes.get(scope)
        if tracer is None:
            tracer = self._scopes[scope] = self._provider.get_tracer(scope)
        span = tracer.start_span(
            name,
            _NO_PARENT if parent is None else set_span_in_context(NonRecordingSpan(parent)),
            kind,
            attributes,
            [Link(context) for context in links],
            at_ns,
        )
        return Span(span) if span.is_recording() else Unrecorded(span.get_span_context())

    def below(
        self,
        parent: Span,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        *,
        scope: str = "",
        at_ns: int | None = None,
        attributes: Mapping[str, str | int | float | bool] | None = None,
    ) -> Span:
        """Begin a span below another one of this process.

        Of a trace that is not recorded it is the parent itself: its headers say what has been decided, and no new trace
        begins.
        """
        if not parent.recording:
            return parent
        return self.span(name, parent.context, kind, scope=scope, at_ns=at_ns, attributes=attributes)


OFF: Final = Tracer(None)


@contextlib.asynccontextmanager
async def tracing(service: str, config: TracingConfig, instance: str = "") -> AsyncIterator[Tracer]:
    """A tracer while the block runs; what it has then is sent within a second, or dropped.

    A receiver that does not answer costs log lines and spans, nothing else: at most 2,048 spans wait for it.
    """
    if config is None:
        yield OFF
        return
    # Some megabytes that a process which does not trace has no use for.
    from shared.tracing import export

    provider = export.provider(service, config, instance)
    try:
        yield Tracer(provider)
    finally:
        await export.close(provider)
