"""W3C trace context in headers of any protocol: HTTP, gRPC metadata, Kafka records."""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
NAMES: Final = frozenset({TRACEPARENT, TRACESTATE, "baggage"})
"""Headers that travel with a request on every hop."""

Text: TypeAlias = str | bytes
Pairs: TypeAlias = Iterable[tuple[Text, Text]]
"""Names in lower case."""

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


def extract(headers: Pairs) -> SpanContext | None:
    """The span that these headers name as their parent; None when they name none, or not as W3C says."""
    parent = state = None
    for name, value in headers:
        if name in (TRACEPARENT, b"traceparent"):
            parent = value
        elif name in (TRACESTATE, b"tracestate"):
            state = value
    return None if parent is None else _parsed(_text(parent), _text(state or ""))


def trace_id(headers: Pairs) -> str:
    """For log lines: the trace that these headers belong to, sampled or not; empty when they name none."""
    context = extract(headers)
    return f"{context.trace_id:032x}" if context else ""


def traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & _SAMPLED:02x}"


def _parsed(parent: str, state: str) -> SpanContext | None:
    match = _TRACEPARENT.fullmatch(parent)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    context = SpanContext(
        int(match[2], 16),
        int(match[3], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(match[4], 16) & _SAMPLED),
        trace_state=TraceState.from_header([state]) if state else None,
    )
    return context if context.is_valid else None


def _text(value: Text) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
