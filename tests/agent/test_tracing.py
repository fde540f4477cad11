"""Spans of a real agent beside a real MLServer: requests through it, and what it does with models."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import aiohttp
import grpc.aio
import pytest
from aiohttp import web
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from services.agent.core.holdings import Holdings
from services.agent.core.inference_counts import OwnCounts
from services.agent.proxy.cold_path import ColdPath
from services.agent.proxy.grpc import ReverseProxyGrpc, make_server
from services.agent.proxy.http import ReverseProxyHttp
from services.agent.server.client import InferenceServer
from shared.http_server import HttpServer
from shared.tracing.config import Enabled
from shared.tracing.tracer import tracing
from tests.agent.artifacts import definition, mlserver_double
from tests.agent.conftest import MakeAgent, SchedulerPeer, Server
from tests.peers.otlp import ReceivedSpan, Receiver, receiver
from tests.peers.ports import free_ports

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
BODY = {"inputs": [{"name": "x", "shape": [3], "datatype": "INT32", "data": [1, 2, 3]}]}
INFERENCE = "inference.GRPCInferenceService"


@pytest.fixture
async def received() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


def config(made: Receiver, ratio: float) -> str:
    return json.dumps({"otelExporterEndpoint": made.endpoint, "ratio": str(ratio)})


def grpc_request() -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="double")
    request.inputs.add(name="x", datatype="INT32", shape=[3]).contents.int_contents.extend([1, 2, 3])
    return request


def tree(spans: Sequence[ReceivedSpan], above: str = "") -> list[str | list[object]]:
    """Names in the order of their beginning, each followed by the list of what is below it, if anything is."""
    made: list[str | list[object]] = []
    for span in sorted((span for span in spans if span.parent == above), key=lambda span: span.start):
        below = tree(spans, span.id)
        made += [span.name, [*below]] if below else [span.name]
    return made


async def test_loading_and_unloading_are_traces_of_their_own(
    mlserver: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, received: Receiver, tmp_path: Path
) -> None:
    agent = make_agent(mlserver, tracing_config=config(received, 1.0))
    await agent.start()
    double = definition("double", str(mlserver_double(tmp_path / "double")), "python")
    await scheduler.load(double)
    await scheduler.event()
    await scheduler.unload(double)
    await scheduler.event()
    await scheduler.load(definition("missing", "/nowhere/model"))
    await scheduler.event()
    assert await agent.end() == 0
    report = "seldon.mlops.agent.AgentService/AgentEvent"
    assert tree(received.spans) == [
        "LoadModel", ["Download", f"{INFERENCE}/RepositoryModelLoad", report],
        "UnloadModel", [f"{INFERENCE}/RepositoryModelUnload", report],
        "LoadModel", ["Download", report],
    ]  # fmt: skip
    assert {span.service for span in received.spans} == {"seldon-agent"}
    failed = [span.attributes.get("seldon.model", span.name) for span in received.spans if span.failed]
    assert sorted(failed) == ["Download", "missing_1"]


async def test_a_request_and_the_load_that_it_needs_are_one_tree(
    mlserver: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, received: Receiver, tmp_path: Path
) -> None:
    # At ratio 0 nothing is traced but what the callers decided for.
    agent = make_agent(mlserver, tracing_config=config(received, 0.0))
    await agent.start()
    await scheduler.load(definition("double", str(mlserver_double(tmp_path / "double")), "python"))
    await scheduler.event()
    headers = {"seldon-internal-model": "double_1", "traceparent": SAMPLED, "x-request-id": "r1"}
    async with (
        aiohttp.ClientSession() as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{agent.ports[1]}") as channel,
    ):
        url = f"{agent.url}/v2/models/double/infer"
        calls = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        # Behind the agent's back the server forgets the model.
        async with client.post(f"{mlserver.url}/v2/repository/models/double_1/unload") as answer:
            assert answer.status == 200
        async with client.post(url, json=BODY, headers=headers) as answer:
            assert answer.status == 200
        await calls.ModelInfer(grpc_request(), metadata=tuple(headers.items()))
        stream = calls.ModelStreamInfer(iter([grpc_request()]), metadata=tuple(headers.items()))
        assert len([answer async for answer in stream]) == 3
        async with client.post(url, json=BODY, headers=headers | {"traceparent": UNSAMPLED}) as answer:
            assert answer.status == 200
        async with client.post(url, json=BODY, headers={"seldon-internal-model": "double_1"}) as answer:
            assert answer.status == 200
    assert await agent.end() == 0
    infer, stream_infer = f"{INFERENCE}/ModelInfer", f"{INFERENCE}/ModelStreamInfer"
    assert tree(received.spans, CALLER) == [
        "seldon-rproxy", ["HTTP POST", "LoadModel", [f"{INFERENCE}/RepositoryModelLoad"], "HTTP POST"],
        infer, [infer],
        stream_infer, [stream_infer],
    ]  # fmt: skip
    assert {span.trace for span in received.spans} == {TRACE}
    for span in received.spans:
        assert not span.failed
        assert (span.parent == CALLER) == (span.kind == "SERVER")
        if span.name not in ("LoadModel", f"{INFERENCE}/RepositoryModelLoad"):
            assert span.attributes["x-request-id"] == "r1"
    first, second = sorted((s for s in received.spans if s.name == "HTTP POST"), key=lambda span: span.start)
    assert [first.attributes["http.response.status_code"], second.attributes["http.response.status_code"]] == [404, 200]


async def test_the_inference_server_is_told_of_the_call_that_reaches_it(received: Receiver) -> None:
    told: list[str] = []

    async def rest(request: web.Request) -> web.Response:
        told.append(request.headers["traceparent"])
        return web.Response()

    class Live(v2_dataplane_pb2_grpc.GRPCInferenceServiceServicer):
        async def ServerLive(self, request: oip.ServerLiveRequest, context: Any) -> oip.ServerLiveResponse:
            told.append(dict(context.invocation_metadata())["traceparent"])
            return oip.ServerLiveResponse(live=True)

    app = web.Application()
    app.router.add_get("/{path:.*}", rest)
    runner, server = web.AppRunner(app), grpc.aio.server()
    await runner.setup()
    v2_dataplane_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Live(), server)  # type: ignore[abstract]
    ports = free_ports(3)
    await web.TCPSite(runner, "127.0.0.1", ports[0]).start()
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    # These requests name no model, so that the cold path is not asked.
    unused, holdings, counts = cast(ColdPath, None), Holdings(0), OwnCounts()
    async with tracing("seldon-agent", Enabled(received.endpoint)) as tracer:
        http_proxy = ReverseProxyHttp(f"http://127.0.0.1:{ports[0]}", holdings, unused, counts, tracer=tracer)
        upstream = InferenceServer("mlserver", "127.0.0.1", grpc_port, tracer)
        grpc_proxy = make_server(ReverseProxyGrpc(upstream, holdings, unused, counts, tracer))
        proxy_port = grpc_proxy.add_insecure_port("127.0.0.1:0")
        await grpc_proxy.start()
        async with (
            HttpServer(http_proxy, "127.0.0.1", ports[1]),
            aiohttp.ClientSession() as client,
            grpc.aio.insecure_channel(f"127.0.0.1:{proxy_port}") as channel,
        ):
            headers = {"traceparent": SAMPLED}
            async with client.get(f"http://127.0.0.1:{ports[1]}/v2/health/live", headers=headers) as answer:
                assert answer.status == 200
            stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
            await stub.ServerLive(oip.ServerLiveRequest(), metadata=tuple(headers.items()))
        await grpc_proxy.stop(None)
        await http_proxy.close()
        await upstream.close()
    await server.stop(None)
    await runner.cleanup()
    calls = sorted((span for span in received.spans if span.kind == "CLIENT"), key=lambda span: span.start)
    assert [span.name for span in calls] == ["HTTP GET", f"{INFERENCE}/ServerLive"]
    assert told == [f"00-{TRACE}-{span.id}-01" for span in calls]


async def test_log_lines_about_a_request_name_it(
    mlserver: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(mlserver)
    await agent.start()
    artifact = mlserver_double(tmp_path / "double")
    await scheduler.load(definition("double", str(artifact), "python"))
    await scheduler.event()
    # What the server is to load again is broken by now.
    for file in (mlserver.agent_folder / "models" / "double_1").rglob("*.py"):
        file.write_text("raise RuntimeError('broken')")
    headers = {"seldon-internal-model": "double_1", "traceparent": SAMPLED, "x-request-id": "r2"}
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{mlserver.url}/v2/repository/models/double_1/unload") as answer:
            assert answer.status == 200
        async with client.post(f"{agent.url}/v2/models/double/infer", json=BODY, headers=headers) as answer:
            assert answer.status == 500
    assert await agent.end() == 0
    lines = [json.loads(line) for line in agent.log.read_text().splitlines() if "model not brought back" in line]
    assert (lines[-1]["request_id"], lines[-1]["trace_id"]) == ("r2", TRACE)


async def test_wrong_tracing_settings_end_the_start(mlserver: Server, make_agent: MakeAgent) -> None:
    agent = make_agent(mlserver, tracing_config='{"otelExporterEndpoint": "h:1", "ratio": "all"}')
    with pytest.raises(pytest.fail.Exception, match="ratio of TRACING_CONFIG"):
        await agent.start()
