"""The spans of one record on its way through the gateway."""

from collections.abc import Mapping
from typing import Final

from shared.kafka.reader import Record
from shared.tracing.context import extract
from shared.tracing.kafka_attributes import destination, of_request
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import CLIENT, CONSUMER, INTERNAL, OFF, PRODUCER, Tracer

_SCOPE: Final = "Worker"
_SERVICE: Final = "inference.GRPCInferenceService"
_METHOD: Final = "ModelInfer"


class Trace:
    """`consume` is all of the record's time here, from the read until its outcome is acknowledged."""

    __slots__ = ("_about", "_tracer", "consume")

    def __init__(self, tracer: Tracer, consume: Span, about: Mapping[str, str]) -> None:
        self._tracer = tracer
        self._about = about
        self.consume = consume

    def call(self) -> Span:
        """The call to Envoy, with all its attempts."""
        if not self.consume.recording:
            return self.consume
        rpc = {"rpc.system": "grpc", "rpc.service": _SERVICE, "rpc.method": _METHOD}
        return self._tracer.below(self.consume, f"{_SERVICE}/{_METHOD}", CLIENT, attributes={**self._about, **rpc})

    def produce(self, topic: str) -> Span:
        """The outcome, until the broker has it."""
        if not self.consume.recording:
            return self.consume
        attributes = {**self._about, **destination(topic)}
        return self._tracer.below(self.consume, "Produce", PRODUCER, scope=_SCOPE, attributes=attributes)


UNTRACED: Final = Trace(OFF, NO_SPAN, {})


def begin(tracer: Tracer, record: Record, model: str, read_ns: int) -> Trace:
    """The work on a record begins now, which was read at `read_ns` since the epoch and has waited since.

    Both times are told by spans below the one that wrote the record. A record of no trace may begin one.
    """
    parent = extract(record.headers)
    if parent is not None and not parent.trace_flags.sampled:
        return UNTRACED
    about = {**of_request(record.headers), "model": model}
    attributes = {**about, **destination(record.topic)}
    consume = tracer.span("Consume", parent, CONSUMER, scope=_SCOPE, at_ns=read_ns, attributes=attributes)
    if consume.recording:
        above = parent or consume.context
        tracer.span("WaitForWorker", above, INTERNAL, scope=_SCOPE, at_ns=read_ns, attributes=about).end()
    return Trace(tracer, consume, about)
