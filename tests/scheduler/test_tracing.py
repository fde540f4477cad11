"""Spans of the scheduler's calls at a real receiver, and what log lines say about the request that they concern."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mlops.agent import agent_pb2
from mlops.health import health_pb2 as own_health_pb2
from mlops.health import health_pb2_grpc as own_health_pb2_grpc
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc
from structlog.testing import capture_logs

from services.scheduler.app import serve
from services.scheduler.settings import SchedulerSettings
from services.scheduler.store.database import Store
from shared import rpc
from shared.errors import InvalidInput
from tests.peers.otlp import Receiver, receiver
from tests.scheduler.builders import model
from tests.scheduler.conftest import running

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{CALLER}-01"), ("x-request-id", "r1"))
UNSAMPLED = (("traceparent", f"00-{TRACE}-{CALLER}-00"),)
API = "seldon.mlops.scheduler.Scheduler"


@pytest.fixture
async def received() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


def flag(made: Receiver, **more: str) -> str:
    return "--tracing-config=" + json.dumps({"otelExporterEndpoint": made.endpoint, **more})


async def test_calls_with_one_answer_have_a_span_below_their_callers(received: Receiver, tmp_path: Path) -> None:
    async with running(tmp_path, flag(received, ratio="0")) as scheduler:
        await scheduler.api.LoadModel(pb.LoadModelRequest(model=model("iris")), metadata=SAMPLED)
        with pytest.raises(grpc.aio.AioRpcError):
            await scheduler.agents.AgentEvent(
                agent_pb2.ModelEventMessage(event=agent_pb2.ModelEventMessage.LOADED), metadata=SAMPLED
            )
        # Not these: nobody decided for a trace, one lasts, and one is asked again and again.
        await scheduler.api.LoadModel(pb.LoadModelRequest(model=model("undecided")))
        await scheduler.api.LoadModel(pb.LoadModelRequest(model=model("decided-against")), metadata=UNSAMPLED)
        status = scheduler.api.ModelStatus(pb.ModelStatusRequest(), metadata=SAMPLED)
        assert [answer async for answer in status]
        await health_pb2_grpc.HealthStub(scheduler.channel).Check(health_pb2.HealthCheckRequest(), metadata=SAMPLED)
        own = own_health_pb2_grpc.HealthCheckServiceStub(scheduler.channel)
        await own.HealthCheck(own_health_pb2.HealthCheckRequest(), metadata=SAMPLED)
    load, event = sorted(received.spans, key=lambda span: span.start)
    assert (load.service, load.name, load.kind) == ("seldon-scheduler", f"{API}/LoadModel", "SERVER")
    assert (load.trace, load.parent, load.failed) == (TRACE, CALLER, False)
    assert load.attributes["x-request-id"] == "r1"
    assert (event.name, event.failed) == ("seldon.mlops.agent.AgentService/AgentEvent", True)


async def test_a_call_of_no_trace_begins_one(received: Receiver, tmp_path: Path) -> None:
    async with running(tmp_path, flag(received, ratio="1")) as scheduler:
        await scheduler.api.LoadModel(pb.LoadModelRequest(model=model("iris")))
    assert f"{API}/LoadModel" in {span.name for span in received.spans if not span.parent}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"otelExporterEndpoint": "", "ratio": "1"}', "otelExporterEndpoint of TRACING_CONFIG"),
        ('{"otelExporterEndpoint": "h:1", "ratio": "2"}', "ratio of TRACING_CONFIG"),
        ('{"endpoint": "h:1"}', "unknown key 'endpoint' in TRACING_CONFIG"),
    ],
)
async def test_wrong_tracing_settings_end_the_start(tmp_path: Path, text: str, sentence: str) -> None:
    store = Store(tmp_path / "scheduler.db")
    with pytest.raises(InvalidInput, match=sentence):
        await serve(SchedulerSettings.load([f"--tracing-config={text}"]), store, asyncio.Event())
    store.close()


class _Failing(scheduler_pb2_grpc.SchedulerServicer):
    async def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.LoadModelResponse:
        raise ZeroDivisionError("a mistake of ours")


async def test_the_log_line_of_a_failed_call_names_the_request() -> None:
    server = rpc.server([API])
    scheduler_pb2_grpc.add_SchedulerServicer_to_server(_Failing(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with rpc.channel(f"127.0.0.1:{port}") as channel:
        with capture_logs() as lines, pytest.raises(grpc.aio.AioRpcError):
            await scheduler_pb2_grpc.SchedulerStub(channel).LoadModel(pb.LoadModelRequest(), metadata=SAMPLED)
    await server.stop(None)
    (line,) = [line for line in lines if line["event"] == "call failed"]
    assert (line["request_id"], line["trace_id"]) == ("r1", TRACE)


def test_flags_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SchedulerSettings.load([]).tracing() is None
    monkeypatch.setenv("TRACING_CONFIG_PATH", "/nowhere/tracing.json")
    with pytest.raises(InvalidInput, match=r"/nowhere/tracing\.json"):
        SchedulerSettings.load([]).tracing()
