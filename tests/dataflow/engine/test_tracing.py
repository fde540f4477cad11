"""The engine's spans at a real receiver, and the trace context on its way through pipelines."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog.testing

from services.dataflow import java_agent
from services.dataflow.settings import DataflowSettings
from shared.errors import InvalidInput
from shared.kafka import headers
from shared.kafka.config import KafkaConfig
from shared.tracing.config import Enabled
from shared.tracing.tracer import Tracer, tracing
from tests.dataflow.engine.conftest import MakeEngine
from tests.dataflow.engine.instructions import chain, join
from tests.dataflow.engine.mesh import Mesh
from tests.dataflow.engine.process import Scheduler, start_engine
from tests.peers.mesh import ROOT
from tests.peers.otlp import ReceivedSpan, Receiver, receiver
from tests.peers.ports import free_port

TRACE, WRITER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = [("traceparent", f"00-{TRACE}-{WRITER}-01".encode()), ("tracestate", b"a=1"), ("baggage", b"b=2")]
UNSAMPLED = [("traceparent", f"00-{TRACE}-{WRITER}-00".encode()), ("tracestate", b"a=1"), ("baggage", b"b=2")]


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    async with receiver() as made:
        yield made


@pytest.fixture
async def tracer(collector: Receiver) -> AsyncIterator[Tracer]:
    async with tracing("seldon-dataflow", Enabled(collector.endpoint)) as made:
        yield made


async def spans_of(collector: Receiver, names: set[str]) -> dict[str, ReceivedSpan]:
    """By name, once all of these have come; there are no others, and none twice."""
    await collector.until(lambda spans: names <= {span.name for span in spans})
    found = {span.name: span for span in collector.spans}
    assert set(found) == names
    assert len(found) == len(collector.spans)
    return found


async def test_a_request_is_seen_on_every_topic_below_the_one_before(
    mesh: Mesh, engine: MakeEngine, tracer: Tracer, collector: Receiver
) -> None:
    await mesh.serve("a", "b")
    await (await engine(tracer=tracer)).create(chain(mesh.names, "p", "a", "b").create())
    await mesh.watch("p")
    (request_id,) = await mesh.send("p", 1, more=SAMPLED)
    answer = (await mesh.answered([request_id]))[request_id]
    names = mesh.names
    hops = [
        f"{names.pipeline_inputs('p')} receive",
        f"{names.model_inputs('a')} send",
        f"{names.model_outputs('a')} receive",
        f"{names.model_inputs('b')} send",
        f"{names.model_outputs('b')} receive",
        f"{names.pipeline_outputs('p')} send",
    ]
    spans = await spans_of(collector, set(hops))
    assert [spans[hop].parent for hop in hops] == [WRITER, *(spans[hop].id for hop in hops[:-1])]
    assert [spans[hop].kind for hop in hops] == ["CONSUMER", "PRODUCER"] * 3
    for hop, span in spans.items():
        assert (span.service, span.trace, span.failed) == ("seldon-dataflow", TRACE, False)
        assert (span.attributes["x-request-id"], span.attributes["pipeline"]) == (request_id, "p")
        assert span.attributes["messaging.destination.name"] == hop.split()[0]
    assert [name for name, _ in answer.headers].count("traceparent") == 1
    carried = dict(answer.headers)
    assert carried["traceparent"] == f"00-{TRACE}-{spans[hops[-1]].id}-01".encode()
    assert (carried["tracestate"], carried["baggage"]) == (b"a=1", b"b=2")


async def test_a_join_is_below_the_record_whose_headers_it_takes(
    mesh: Mesh, engine: MakeEngine, tracer: Tracer, collector: Receiver
) -> None:
    await mesh.serve("a", "b")
    mesh.hold("b")
    await (await engine(tracer=tracer)).create(join(mesh.names, "p", "a", "b").create())
    await mesh.watch("p")
    (request_id,) = await mesh.send("p", 1, more=SAMPLED)
    await mesh.until_asked("b", 1)
    received = f"{mesh.names.model_outputs('a')} receive"
    await collector.until(lambda spans: received in {span.name for span in spans})
    await mesh.release("b")
    await mesh.answered([request_id])
    names = mesh.names
    ends = {f"{names.pipeline_inputs('p')} receive", f"{names.pipeline_outputs('p')} send"}
    sends = {f"{names.model_inputs(model)} send" for model in "ab"}
    spans = await spans_of(collector, ends | sends | {f"{names.model_outputs(model)} receive" for model in "ab"})
    assert {spans[name].parent for name in sends} == {spans[f"{names.pipeline_inputs('p')} receive"].id}
    last = spans[f"{names.pipeline_outputs('p')} send"]
    assert last.parent == spans[f"{names.model_outputs('b')} receive"].id


async def test_a_record_that_two_pipelines_read_is_received_once(
    mesh: Mesh, engine: MakeEngine, tracer: Tracer, collector: Receiver
) -> None:
    await mesh.serve("a")
    pipelines = await engine(tracer=tracer)
    await pipelines.create(chain(mesh.names, "p", "a").create())
    await pipelines.create(chain(mesh.names, "p", "a", version=2).create())
    await mesh.watch("p")
    (request_id,) = await mesh.send("p", 1, more=SAMPLED)
    await mesh.answered([request_id])
    last = f"{mesh.names.pipeline_outputs('p')} send"
    await collector.until(lambda spans: last in {span.name for span in spans})
    first = f"{mesh.names.pipeline_inputs('p')} receive"
    assert [span.name for span in collector.spans].count(first) == 1


async def test_what_kafka_refuses_is_marked(
    mesh: Mesh, engine: MakeEngine, tracer: Tracer, collector: Receiver
) -> None:
    await mesh.serve("a")
    await (await engine(tracer=tracer, message_max_bytes=2000)).create(chain(mesh.names, "p", "a").create())
    await mesh.watch("p")
    ids = await mesh.send("p", 1, more=[*SAMPLED, ("x-long", b"x" * 3000)])
    (answer,) = (await mesh.answered(ids)).values()
    assert headers.text(answer.headers, headers.ERROR_CODE) == "RESOURCE_EXHAUSTED"
    refused, told = f"{mesh.names.model_inputs('a')} send", f"{mesh.names.pipeline_outputs('p')} send"
    await collector.until(lambda spans: {refused, told} <= {span.name for span in spans})
    assert {span.name for span in collector.spans if span.failed} == {refused, told}


@pytest.mark.parametrize("context", [UNSAMPLED, []])
async def test_what_is_not_sampled_has_no_spans_and_its_context_goes_on(
    mesh: Mesh, engine: MakeEngine, tracer: Tracer, collector: Receiver, context: list[tuple[str, bytes]]
) -> None:
    await mesh.serve("a")
    await (await engine(tracer=tracer)).create(chain(mesh.names, "p", "a").create())
    await mesh.watch("p")
    unseen = await mesh.send("p", 3, more=context)
    for answer in (await mesh.answered(unseen)).values():
        assert [header for header in answer.headers if header[0] in dict(SAMPLED)] == context
    seen = await mesh.send("p", 1, more=SAMPLED)
    await mesh.answered(seen)
    await collector.until(lambda spans: len(spans) >= 4)
    assert {span.attributes["x-request-id"] for span in collector.spans} == set(seen)


async def test_a_missing_collector_changes_no_answer(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a")
    async with tracing("seldon-dataflow", Enabled(f"127.0.0.1:{free_port()}")) as tracer:
        await (await engine(tracer=tracer)).create(chain(mesh.names, "p", "a").create())
        await mesh.watch("p")
        for answer in (await mesh.answered(await mesh.send("p", 50, more=SAMPLED))).values():
            assert headers.first(answer.headers, headers.ERROR) is None


async def test_a_process_told_as_the_java_agent_is_sends_its_spans(
    config: KafkaConfig, mesh: Mesh, collector: Receiver, tmp_path: Path
) -> None:
    await mesh.serve("a")
    await mesh.watch("p")
    async with Scheduler() as scheduler:
        scheduler.want(chain(mesh.names, "p", "a").create())
        told = {"otel-javaagent-enabled": "true", "otel-exporter-otlp-protocol": "grpc"}
        told["otel-exporter-otlp-endpoint"] = f"http://{collector.endpoint}"
        process = await start_engine(config, scheduler, tmp_path, **told)
        try:
            assert (await scheduler.reported(1)).success
            await mesh.answered(await mesh.send("p", 1, more=SAMPLED))
        finally:
            process.terminate()
            await process.wait()
    await collector.until(lambda spans: len(spans) == 4)
    assert {span.service for span in collector.spans} == {"seldon-dataflow"}


def test_settings_of_the_java_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector:4317")
    assert DataflowSettings.load([]).tracing() is None
    monkeypatch.setenv("OTEL_JAVAAGENT_ENABLED", "true")
    assert DataflowSettings.load([]).tracing() == Enabled("otel-collector:4317")
    monkeypatch.setenv("TRACING_CONFIG", '{"otelExporterEndpoint": "h:1", "ratio": "0.5"}')
    assert DataflowSettings.load([]).tracing() == Enabled("h:1", 0.5)
    monkeypatch.setenv("TRACING_CONFIG", '{"disable": true}')
    assert DataflowSettings.load([]).tracing() is None


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (("yes", "http://h:1", "grpc"), "OTEL_JAVAAGENT_ENABLED"),
        (("true", "", "grpc"), "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (("true", "h:1", "grpc"), "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (("true", "http://h", "grpc"), "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (("true", "http://h:70000", "grpc"), "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (("true", "https://h:1", "grpc"), "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (("true", "http://h:1", "http/protobuf"), "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_a_wrong_one_is_named(told: tuple[str, str, str], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        java_agent.read(*told)
    assert java_agent.read("false", *told[1:]) is None


async def test_a_wrong_setting_stops_the_start() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos/gen'}", "OTEL_JAVAAGENT_ENABLED": "true"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.dataflow", f"--health-server-port={free_port()}"),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said.decode()


async def test_log_lines_name_the_request_and_its_trace(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a")
    await (await engine()).create(chain(mesh.names, "p", "a").create())
    await mesh.watch("p")
    with structlog.testing.capture_logs() as lines:
        await mesh.put("p", "theirs", b"\xff my secret", more=UNSAMPLED)
        await mesh.answered(["theirs"])
    (line,) = [line for line in lines if line["event"] == "problem"]
    assert (line["kind"], line["request_id"], line["trace_id"]) == ("unparsable", "theirs", TRACE)
    assert "my secret" not in str(lines)
