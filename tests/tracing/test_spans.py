"""Spans against a real receiver: parents, sampling, what travels on, and a receiver that is not there."""

import time
from collections.abc import AsyncIterator

import pytest

from shared.tracing.config import Enabled
from shared.tracing.context import extract, trace_id
from shared.tracing.tracer import CONSUMER, PRODUCER, SERVER, tracing
from tests.peers.otlp import Receiver, receiver

SAMPLED = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
UNSAMPLED = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")


@pytest.fixture
async def received() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


async def test_spans_arrive_with_their_parents(received: Receiver) -> None:
    async with tracing("seldon-test", Enabled(received.endpoint), "test-0") as tracer:
        call = tracer.span("call", extract([SAMPLED]), SERVER, attributes={"x-request-id": "r1"})
        with tracer.span("Produce", call.context, PRODUCER, scope="KafkaManager") as produced:
            headers = produced.carried_by([("a", b"1"), SAMPLED])
        call.end()
        tracer.span("Consume", extract(headers), CONSUMER, at_ns=time.time_ns() - 5_000_000).end()
    by_name = {span.name: span for span in received.spans}
    assert {span.trace for span in received.spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert by_name["call"].parent == "b7ad6b7169203331"
    assert by_name["call"].attributes == {"x-request-id": "r1"}
    assert by_name["Produce"].parent == by_name["call"].id
    assert (by_name["Produce"].scope, by_name["Produce"].kind) == ("KafkaManager", "PRODUCER")
    assert by_name["Consume"].parent == by_name["Produce"].id
    assert by_name["Consume"].end - by_name["Consume"].start >= 5_000_000
    assert [name for name, _ in headers] == ["a", "traceparent"]


async def test_an_exception_marks_the_span(received: Receiver) -> None:
    async with tracing("seldon-test", Enabled(received.endpoint)) as tracer:
        with pytest.raises(ValueError, match="broken"), tracer.span("call", None):
            raise ValueError("broken")
    assert [span.failed for span in received.spans] == [True]


async def test_a_decision_against_a_trace_holds_behind(received: Receiver) -> None:
    async with tracing("seldon-test", Enabled(received.endpoint)) as tracer:
        span = tracer.span("call", extract([UNSAMPLED]))
        assert not span.recording
        assert span.carried_by([UNSAMPLED]) == [UNSAMPLED]
        span.end()
    async with tracing("seldon-test", Enabled(received.endpoint, ratio=0.0)) as tracer:
        root = tracer.span("call", None)
        (told,) = root.carried_by([])
        assert told[0] == "traceparent"
        assert told[1].endswith(b"-00")
        assert tracer.span("behind", extract([told])).carried_by([told]) == [told]
        root.end()
    assert received.spans == []


async def test_below_a_span_that_is_not_recorded_none_begins(received: Receiver) -> None:
    async with tracing("seldon-test", Enabled(received.endpoint)) as tracer:
        against = tracer.span("call", extract([UNSAMPLED]))
        assert tracer.below(against, "Produce").carried_by([UNSAMPLED]) == [UNSAMPLED]
        with tracer.span("call", extract([SAMPLED])) as call, tracer.below(call, "Produce", PRODUCER) as produced:
            assert extract(produced.headers()) != call.context
    async with tracing("seldon-test", Enabled(received.endpoint, ratio=0.0)) as tracer:
        root = tracer.span("call", None)
        assert tracer.below(root, "Produce").headers() == root.headers()
    by_name = {span.name: span for span in received.spans}
    assert set(by_name) == {"call", "Produce"}
    assert by_name["Produce"].parent == by_name["call"].id


async def test_off_changes_nothing() -> None:
    async with tracing("seldon-test", None) as tracer:
        assert not tracer.on
        with tracer.span("call", extract([SAMPLED])) as span:
            assert span.carried_by([SAMPLED]) == [SAMPLED]
            assert span.context is None


async def test_a_missing_receiver_delays_nothing() -> None:
    async with tracing("seldon-test", Enabled("127.0.0.1:1")) as tracer:
        for _ in range(5000):
            tracer.span("call", None).end()
        started = time.monotonic()
    # Not a speed: the exporter on its own would try again for several seconds.
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        b"\xff\xfe",
    ],
)
def test_a_context_that_is_none_begins_a_new_trace(value: bytes) -> None:
    assert extract([("traceparent", value)]) is None
    assert trace_id([("traceparent", value)]) == ""


def test_state_and_later_versions_are_kept() -> None:
    context = extract([("tracestate", "a=1,b=2"), ("traceparent", "01" + SAMPLED[1].decode()[2:] + "-more")])
    assert context is not None
    assert context.trace_state.to_header() == "a=1,b=2"
    assert trace_id([SAMPLED]) == "0af7651916cd43dd8448eb211c80319c"
