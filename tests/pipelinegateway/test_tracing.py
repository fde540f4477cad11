"""The gateway's spans at a real receiver, and the trace context on its way to Kafka and back."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import structlog.testing
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from shared.kafka.config import load_config
from tests.peers.mesh import ROOT
from tests.peers.otlp import ReceivedSpan, Receiver, receiver
from tests.peers.ports import free_port
from tests.pipelinegateway.conftest import World, gateway_at
from tests.pipelinegateway.engine import Engine, echo, failing
from tests.pipelinegateway.scheduler import Scheduler, pipeline

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "a=1", "baggage": "b=2", "x-request-id": "theirs"}
UNSAMPLED = SAMPLED | {"traceparent": f"00-{TRACE}-{CALLER}-00"}
BODY = {"inputs": [{"name": "A", "datatype": "INT32", "shape": [1], "data": [1]}]}


@pytest.fixture
async def collector() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@contextlib.asynccontextmanager
async def traced(name: str, config_path: Path, endpoint: str, ratio: str = "1") -> AsyncIterator[World]:
    """A world whose gateway has sent its spans when it ends."""
    config = load_config(config_path, "", {})
    engine = Engine(config, config.topics.pipeline_inputs(name), config.topics.pipeline_outputs(name), echo)
    tracing = json.dumps({"otelExporterEndpoint": endpoint, "otelExporterProtocol": "grpc", "ratio": ratio})
    async with (
        Scheduler().serving() as scheduler,
        engine.running(),
        gateway_at(config_path, scheduler, "one", timeout_ms=10_000, tracing_config=tracing) as gateway,
    ):
        await scheduler.subscriptions.get()
        assert (await scheduler.load("one", pipeline(name))).success
        yield World(name, config, config_path, scheduler, gateway, engine)


def infer(world: World, headers: dict[str, str]) -> Any:
    request = oip.ModelInferRequest()
    request.inputs.add(name="A", datatype="INT32", shape=[1]).contents.int_contents.append(1)
    return world.gateway.inference.ModelInfer(request, metadata=[*world.metadata, *headers.items()])


def by_name(collector: Receiver) -> dict[str, ReceivedSpan]:
    assert {span.service for span in collector.spans} <= {"seldon-pipelinegateway"}
    found = {span.name: span for span in collector.spans}
    assert len(found) == len(collector.spans)
    return found


REST_NAME = "/v2/pipelines/{pipeline_name}/infer"
GRPC_NAME = "inference.GRPCInferenceService/ModelInfer"


@pytest.mark.parametrize("name_of_call", [REST_NAME, GRPC_NAME])
async def test_a_sampled_call_is_seen_from_its_arrival_to_its_answer(
    name: str, config_path: Path, collector: Receiver, name_of_call: str
) -> None:
    async with traced(name, config_path, collector.endpoint) as world:
        if name_of_call == REST_NAME:
            assert (await world.gateway.rest.post(world.path, json=BODY, headers=SAMPLED)).status_code == 200
        else:
            await infer(world, SAMPLED)
        record = await world.engine.seen.get()
    spans = by_name(collector)
    assert set(spans) == {name_of_call, "Produce", "Consume"}
    call, produce, consume = spans[name_of_call], spans["Produce"], spans["Consume"]
    assert {span.trace for span in spans.values()} == {TRACE}
    # The engine of this test passes the context on as it is, so the answer stands beside what follows in a mesh.
    assert (call.parent, produce.parent, consume.parent) == (CALLER, call.id, produce.id)
    assert [span.kind for span in (call, produce, consume)] == ["SERVER", "PRODUCER", "CONSUMER"]
    assert [span.scope for span in (call, produce, consume)] == ["pipelinegateway", "KafkaManager", "KafkaManager"]
    assert {span.attributes["x-request-id"] for span in spans.values()} == {"theirs"}
    assert {produce.attributes["pipeline"], consume.attributes["pipeline"]} == {name}
    assert call.start <= produce.start <= produce.end
    assert call.start <= consume.start <= consume.end <= call.end
    assert not any(span.failed for span in spans.values())
    if name_of_call == REST_NAME:
        assert (call.attributes["http.request.method"], call.attributes["http.response.status_code"]) == ("POST", 200)
    else:
        assert call.attributes["rpc.response.status_code"] == "OK"
    headers = dict(record.headers)
    assert headers["traceparent"] == f"00-{TRACE}-{produce.id}-01".encode()
    assert (headers["tracestate"], headers["baggage"]) == (b"a=1", b"b=2")
    assert [header for header, _ in record.headers].count("traceparent") == 1


async def test_a_call_of_no_trace_begins_one(name: str, config_path: Path, collector: Receiver) -> None:
    async with traced(name, config_path, collector.endpoint) as world:
        path = f"/v2/models/{name}/versions/3/infer"
        answer = await world.gateway.rest.post(path, json=BODY, headers={"seldon-model": f"{name}.pipeline"})
    spans = by_name(collector)
    call = spans["/v2/models/{model_name}/versions/{model_version}/infer"]
    assert (call.parent, spans["Produce"].parent) == ("", call.id)
    assert call.attributes["x-request-id"] == answer.headers["x-request-id"]


async def test_an_unsampled_call_has_no_spans_and_its_context_goes_on(
    name: str, config_path: Path, collector: Receiver
) -> None:
    async with traced(name, config_path, collector.endpoint) as world:
        assert (await world.gateway.rest.post(world.path, json=BODY, headers=UNSAMPLED)).status_code == 200
        await infer(world, UNSAMPLED)
        for _ in range(2):
            headers = dict((await world.engine.seen.get()).headers)
            assert {header: headers[header].decode() for header in UNSAMPLED} == UNSAMPLED
    assert collector.spans == []


async def test_those_behind_hear_of_a_decision_against_a_trace(
    name: str, config_path: Path, collector: Receiver
) -> None:
    async with traced(name, config_path, collector.endpoint, ratio="0") as world:
        assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 200
        headers = dict((await world.engine.seen.get()).headers)
    assert headers["traceparent"].endswith(b"-00")
    assert collector.spans == []


async def test_failures_are_marked_and_callers_mistakes_are_not(
    name: str, config_path: Path, collector: Receiver
) -> None:
    async with traced(name, config_path, collector.endpoint) as world:
        world.behave(failing("tfsimple1", "secret", "UNAVAILABLE"))
        assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 503
        assert (await world.gateway.rest.post(world.path, content=b"{")).status_code == 400
        with pytest.raises(grpc.aio.AioRpcError):
            await infer(world, {})
        with pytest.raises(grpc.aio.AioRpcError):
            await world.gateway.inference.ModelReady(oip.ModelReadyRequest(name="nobody"))
    ended = {(span.name, span.failed) for span in collector.spans}
    assert ended == {
        (REST_NAME, True),
        (REST_NAME, False),
        (GRPC_NAME, True),
        ("inference.GRPCInferenceService/ModelReady", False),
        ("Produce", False),
        ("Consume", True),
    }


async def test_what_probes_ask_for_is_not_traced(name: str, config_path: Path, collector: Receiver) -> None:
    async with traced(name, config_path, collector.endpoint) as world:
        for path in ("/v2/health/live", "/v2/health/ready", "/v2", "/ready"):
            assert (await world.gateway.rest.get(path)).status_code == 200
        await world.gateway.inference.ServerReady(oip.ServerReadyRequest())
    assert collector.spans == []


async def test_a_missing_collector_changes_no_answer(name: str, config_path: Path) -> None:
    async with traced(name, config_path, f"127.0.0.1:{free_port()}") as world:
        answers = await asyncio.gather(*(world.gateway.rest.post(world.path, json=BODY) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}


async def test_a_wrong_setting_stops_the_start() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.pipelinegateway"),
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos/gen'}",
            "TRACING_CONFIG": '{"otelExporterEndpoint": "h:1", "ratio": "much"}',
        },
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert "ratio of TRACING_CONFIG" in said.decode()


async def test_log_lines_name_the_request_and_its_trace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(*_: object) -> bytes:
        raise RuntimeError("broken")

    monkeypatch.setattr(world.gateway.process._gateway, "infer", break_down)
    with structlog.testing.capture_logs() as lines:
        answer = await world.gateway.rest.post(world.path, json=BODY, headers=UNSAMPLED)
        assert (answer.status_code, answer.headers["x-request-id"]) == (500, "theirs")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await infer(world, UNSAMPLED)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    about = [(line["event"], line.get("request_id"), line.get("trace_id")) for line in lines]
    assert about == [("request failed unexpectedly", "theirs", TRACE), ("call failed", "theirs", TRACE)]
