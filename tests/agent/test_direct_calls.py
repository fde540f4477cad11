"""Calls on the agent's own ports, in front of a real MLServer: counted here, unless Envoy counts them."""

from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from tests.agent.artifacts import definition, mlserver_double
from tests.agent.conftest import AgentProcess, MakeAgent, SchedulerPeer, Server

BODY = {"inputs": [{"name": "x", "shape": [3], "datatype": "INT32", "data": [1, 2, 3]}]}
DOUBLE = {"seldon-internal-model": "double_1"}


def infer_request(datatype: str = "INT32") -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="double")
    request.inputs.add(name="x", datatype=datatype, shape=[3]).contents.int_contents.extend([1, 2, 3])
    return request


class Caller:
    """Calls on both ports of an agent."""

    def __init__(self, agent: AgentProcess, client: aiohttp.ClientSession, channel: grpc.aio.Channel) -> None:
        self._agent = agent
        self._client = client
        self.grpc: Any = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)

    async def rest(self, verb: str, path: str, **headers: str) -> int:
        json = BODY if path.endswith("/infer") else None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._client.request(verb, self._agent.url + path, json=json, headers=named) as answer:
            await answer.read()
            return answer.status

    async def totals(self) -> dict[str, float]:
        """Labels to value of seldon_model_infer_total, and the other samples by name and labels."""
        async with self._client.get(f"http://127.0.0.1:{self._agent.ports[3]}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] != "#"}


async def test_direct_calls_are_counted_once(
    mlserver: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(mlserver)
    await agent.start()
    await scheduler.load(definition("double", str(mlserver_double(tmp_path / "double")), "python"))
    await scheduler.event()
    async with (
        aiohttp.ClientSession() as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{agent.ports[1]}") as channel,
    ):
        caller = Caller(agent, client, channel)
        path, metadata = "/v2/models/double", tuple(DOUBLE.items())
        for _ in range(3):
            assert await caller.rest("POST", f"{path}/infer", **DOUBLE) == 200
        assert await caller.rest("GET", f"{path}/ready", **DOUBLE) == 200
        assert await caller.rest("GET", "/v2/health/live") == 200
        assert await caller.rest("POST", f"{path}/infer", seldon_model="nobody-knows-it") == 404
        for _ in range(4):
            await caller.grpc.ModelInfer(infer_request(), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError):
            await caller.grpc.ModelInfer(infer_request(), metadata=(("seldon-model", "nobody-knows-it"),))
        with pytest.raises(grpc.aio.AioRpcError):
            await caller.grpc.ModelInfer(infer_request(datatype="NONE"), metadata=metadata)
        stream = caller.grpc.ModelStreamInfer(iter([infer_request()]), metadata=metadata)
        assert len([answer async for answer in stream]) == 3
        # What Envoy sent is in its counts.
        assert await caller.rest("POST", f"{path}/infer", x_seldon_counted="envoy", **DOUBLE) == 200
        await caller.grpc.ModelInfer(infer_request(), metadata=(*metadata, ("x-seldon-counted", "envoy")))
        shown = await caller.totals()

    replica = 'server="mlserver",server_replica="0"'

    def call(method_type: str, code: str, model: str = "", internal: str = "") -> str:
        return f'code="{code}",method_type="{method_type}",model="{model}",model_internal="{internal}",{replica}}}'

    start = "seldon_model_infer_total{"
    calls = {name.removeprefix(start): value for name, value in shown.items() if name.startswith(start)}
    grpc_calls = {name for name in calls if 'method_type="grpc",model="double"' in name}
    failed = {name: calls.pop(name) for name in grpc_calls}
    assert failed.pop(call("grpc", "OK", "double", "double_1")) == 5
    assert list(failed.values()) == [1]
    assert calls == {
        call("rest", "200", "double", "double_1"): 4,
        call("rest", "200"): 1,
        call("rest", "404"): 1,
        call("grpc", "NotFound"): 1,
    }
    assert shown[f'seldon_model_aggregate_infer_total{{method_type="rest",{replica}}}'] == 6
    assert shown[f'seldon_model_aggregate_infer_total{{method_type="grpc",{replica}}}'] == 7
    api = "seldon_model_infer_api_seconds_count"
    assert shown[f'{api}{{code="200",method="post",{replica}}}'] == 3
    assert shown[f'{api}{{code="200",method="get",{replica}}}'] == 2
    # Without the stream.
    assert shown[f'{api}{{code="OK",method="grpc",{replica}}}'] == 4
    # There is no Envoy here, and everything else is served all the same.
    assert shown[f"seldon_agent_envoy_up{{{replica}}}"] == 0
    assert shown[f"seldon_load_model_counter{{{replica}}}"] == 1
