"""The spans of records of sampled traces: one from each read, one until the broker has what follows from it.

A record that was read goes on with the span of its read as its trace context, so what a flow emits with its headers is
below it without the flow's knowing.
"""

import time
from collections.abc import Iterable
from typing import Final

from opentelemetry.trace import SpanContext

from services.dataflow.core.records import Arrival, Emission
from shared.kafka.headers import ERROR, Headers, text
from shared.tracing.context import TRACEPARENT, extract
from shared.tracing.kafka_attributes import of_record
from shared.tracing.spans import Span
from shared.tracing.tracer import CONSUMER, PRODUCER, Tracer

_NOT_SAMPLED: Final = b"-00"


class Receptions:
    """Of one read. They end together, when all that follows from it has been decided."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._read_ns = time.time_ns()
        self._spans: dict[tuple[str, int, int], Span] = {}

    def of(self, arrivals: list[Arrival]) -> list[Arrival]:
        """The same records, below the spans of their read; several versions may read one record."""
        return [
            arrival if (parent := sampled(arrival.headers)) is None else self._received(arrival, parent)
            for arrival in arrivals
        ]

    def end(self) -> None:
        for span in self._spans.values():
            span.end()

    def _received(self, arrival: Arrival, parent: SpanContext) -> Arrival:
        place = arrival[:3]
        span = self._spans.get(place)
        if span is None:
            about = of_record(arrival.topic, arrival.headers)
            name = f"{arrival.topic} receive"
            span = self._tracer.span(name, parent, CONSUMER, at_ns=self._read_ns, attributes=about)
            self._spans[place] = span
        return arrival._replace(headers=span.carried_by(arrival.headers))


class Sends:
    """Of all records that are queued or sent and not acknowledged."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        # Emissions stay the same objects until they are acknowledged, and may be equal.
        self._spans: dict[int, Span] = {}

    def begin(self, emissions: list[Emission]) -> None:
        """These are queued now. Puts the context of their spans into them."""
        for index, emission in enumerate(emissions):
            parent = sampled(emission.headers)
            if parent is not None:
                about = of_record(emission.topic, emission.headers)
                span = self._tracer.span(f"{emission.topic} send", parent, PRODUCER, attributes=about)
                failed = text(emission.headers, ERROR)
                if failed is not None:
                    span.fail(f"error of {failed}")
                sent = emissions[index] = emission._replace(headers=span.carried_by(emission.headers))
                self._spans[id(sent)] = span

    def fail(self, emission: Emission, reason: str) -> None:
        span = self._spans.get(id(emission))
        if span is not None:
            span.fail(reason)

    def end(self, emissions: Iterable[Emission], failure: str = "") -> None:
        """They are acknowledged, or will not be for a reason that concerns all of them."""
        if not self._spans:
            return
        for emission in emissions:
            span = self._spans.pop(id(emission), None)
            if span is not None:
                if failure:
                    span.fail(failure)
                span.end()


def sampled(headers: Headers) -> SpanContext | None:
    """The parent that these headers name, if it is recorded."""
    for name, value in headers:
        if name == TRACEPARENT:
            if value.endswith(_NOT_SAMPLED):
                return None
            context = extract(headers)
            return context if context is not None and context.trace_flags.sampled else None
    return None
