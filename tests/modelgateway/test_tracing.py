"""The gateway's spans at a real receiver, and the trace context on its way through the gateway."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import structlog.testing
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest

from shared.kafka.reader import Record
from tests.modelgateway.conftest import World, gateway_in
from tests.modelgateway.model_server import Call
from tests.peers.mesh import ROOT
from tests.peers.otlp import ReceivedSpan, Receiver, receiver
from tests.peers.ports import free_port

TRACE, WRITER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = [("traceparent", f"00-{TRACE}-{WRITER}-01".encode()), ("tracestate", b"a=1"), ("baggage", b"b=2")]
UNSAMPLED = [("traceparent", f"00-{TRACE}-{WRITER}-00".encode()), ("tracestate", b"a=1"), ("baggage", b"b=2")]
IDS = [("pipeline", b"p"), ("x-request-id", b"theirs")]


def config(endpoint: str, ratio: str = "1") -> str:
    return json.dumps({"otelExporterEndpoint": endpoint, "otelExporterProtocol": "grpc", "ratio": ratio})


async def traced(
    world: World, model: str, collector: Receiver, headers: list[tuple[str, bytes]], ratio: str = "1"
) -> tuple[Record, dict[str, ReceivedSpan]]:
    """What one record becomes, and its spans by name: a gateway that ends has sent them."""
    await world.watch(model)
    async with gateway_in(world, tracing_config=config(collector.endpoint, ratio)):
        assert (await world.scheduler.create("one", model)).success
        await world.send(model, "a", ModelInferRequest(id="a").SerializeToString(), headers)
        (answer,) = await world.answered("a")
    assert {span.service for span in collector.spans} <= {"seldon-modelgateway"}
    by_name = {span.name: span for span in collector.spans}
    assert len(by_name) == len(collector.spans)
    return answer, by_name


CALL = "inference.GRPCInferenceService/ModelInfer"


async def test_a_sampled_record_is_seen_from_its_read_to_its_outcome(world: World, model: str) -> None:
    async with receiver() as collector:
        answer, spans = await traced(world, model, collector, [*IDS, *SAMPLED])
    assert set(spans) == {"Consume", "WaitForWorker", CALL, "Produce"}
    assert {span.trace for span in spans.values()} == {TRACE}
    assert {name for name, span in spans.items() if span.failed} == set()
    consume, wait, call, produce = (spans[name] for name in ("Consume", "WaitForWorker", CALL, "Produce"))
    assert (consume.parent, wait.parent, call.parent, produce.parent) == (WRITER, WRITER, consume.id, consume.id)
    assert [span.kind for span in (consume, wait, call, produce)] == ["CONSUMER", "INTERNAL", "CLIENT", "PRODUCER"]
    assert [span.scope for span in (consume, wait, produce)] == ["Worker"] * 3
    for span in spans.values():
        about = {name: span.attributes[name] for name in ("x-request-id", "pipeline", "model")}
        assert about == {"x-request-id": "theirs", "pipeline": "p", "model": model}
    names = world.clients.config.topics
    assert consume.attributes["messaging.destination.name"] == names.model_inputs(model)
    assert produce.attributes["messaging.destination.name"] == names.model_outputs(model)
    assert consume.start == wait.start <= wait.end <= call.start <= call.end <= produce.start <= produce.end
    assert produce.end <= consume.end
    metadata = dict(world.server.calls[model][0].metadata)
    assert metadata["traceparent"] == f"00-{TRACE}-{call.id}-01"
    assert (metadata["tracestate"], metadata["baggage"]) == ("a=1", "b=2")
    headers = dict(answer.headers)
    assert headers["traceparent"] == f"00-{TRACE}-{produce.id}-01".encode()
    assert (headers["tracestate"], headers["baggage"]) == (b"a=1", b"b=2")
    assert [name for name, _ in answer.headers].count("traceparent") == 1


async def test_an_error_marks_what_failed_and_its_record_goes_on_with_the_trace(world: World, model: str) -> None:
    async def refuse(call: Call) -> None:
        await call.fail("INVALID_ARGUMENT", "unexpected shape")

    world.server.behaviours[model] = refuse
    async with receiver() as collector:
        answer, spans = await traced(world, model, collector, [*IDS, *SAMPLED])
    assert world.is_error(answer)
    assert {name for name, span in spans.items() if span.failed} == {"Consume", CALL}
    assert dict(answer.headers)["traceparent"] == f"00-{TRACE}-{spans['Produce'].id}-01".encode()


async def test_a_record_of_no_trace_begins_one(world: World, model: str) -> None:
    async with receiver() as collector:
        answer, spans = await traced(world, model, collector, IDS)
    consume = spans["Consume"]
    assert consume.parent == ""
    assert {spans[name].parent for name in ("WaitForWorker", CALL, "Produce")} == {consume.id}
    assert dict(answer.headers)["traceparent"] == f"00-{consume.trace}-{spans['Produce'].id}-01".encode()


async def test_an_unsampled_record_has_no_spans_and_its_context_goes_on(world: World, model: str) -> None:
    async with receiver() as collector:
        answer, spans = await traced(world, model, collector, [*IDS, *UNSAMPLED])
    assert spans == {}
    assert set(UNSAMPLED) <= set(answer.headers)
    metadata = dict(world.server.calls[model][0].metadata)
    assert {name: str(metadata[name]).encode() for name, _ in UNSAMPLED} == dict(UNSAMPLED)


async def test_those_behind_hear_of_a_decision_against_a_trace(world: World, model: str) -> None:
    async with receiver() as collector:
        answer, spans = await traced(world, model, collector, IDS, ratio="0")
    assert spans == {}
    assert dict(answer.headers)["traceparent"].endswith(b"-00")
    assert str(dict(world.server.calls[model][0].metadata)["traceparent"]).endswith("-00")


async def test_a_missing_collector_changes_no_answer(world: World, model: str) -> None:
    await world.watch(model)
    async with gateway_in(world, tracing_config=config(f"127.0.0.1:{free_port()}")) as gateway:
        assert (await world.scheduler.create("one", model)).success
        for number in range(20):
            await world.send(model, str(number), ModelInferRequest(id="a").SerializeToString(), SAMPLED)
        for number in range(20):
            (answer,) = await world.answered(str(number))
            assert not world.is_error(answer)
        assert gateway.metric("calls_total", model=model, code="OK") == 20


async def test_log_lines_name_the_request_and_nothing_of_its_payload(world: World, model: str) -> None:
    await world.watch(model)
    async with gateway_in(world):
        assert (await world.scheduler.create("one", model)).success
        with structlog.testing.capture_logs() as lines:
            await world.send(model, "a", b'{"inputs": "my secret"}', [*IDS, *UNSAMPLED])
            (answer,) = await world.answered("a")
    assert b"my secret" in (answer.value or b"")
    (line,) = [line for line in lines if line["event"] == "record without a call"]
    assert (line["request_id"], line["trace_id"]) == ("theirs", TRACE)
    assert "my secret" not in str(lines)


@pytest.mark.parametrize(
    ("content", "named"),
    [('{"otelExporterEndpoint": ""}', "otelExporterEndpoint"), ('{"endpoint": "h:1"}', "'endpoint'")],
)
async def test_a_wrong_setting_stops_the_start(tmp_path: Path, content: str, named: str) -> None:
    file = tmp_path / "tracing.json"
    file.write_text(content)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.modelgateway", f"--tracing-config-path={file}", f"--health-probe-port={free_port()}"),
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos/gen'}"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert named in said.decode()
    assert str(file) in said.decode()
