"""The agent as a process beside real MLServer and real Triton, asked by a scheduler peer and by callers."""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
from mlops.agent import agent_pb2
from mlops.agent_debug import agent_debug_pb2, agent_debug_pb2_grpc
from mlops.v2_dataplane import v2_dataplane_pb2, v2_dataplane_pb2_grpc

from shared import agent_metadata
from tests.agent.artifacts import definition, mlserver_double, triton_double
from tests.agent.calls import body, infer
from tests.agent.conftest import AgentProcess, MakeAgent, SchedulerPeer, Server

Event = agent_pb2.ModelEventMessage
KINDS = ("mlserver", "triton")


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    made: Server = request.getfixturevalue(request.param)
    return made


def model_for(
    server: Server, folder: Path, name: str, version: int = 1, memory_bytes: int = 1000
) -> agent_pb2.ModelVersion:
    target = folder / f"{name}-{version}"
    if server.kind == "triton":
        return definition(name, str(triton_double(target)), "triton", version=version, memory_bytes=memory_bytes)
    return definition(name, str(mlserver_double(target)), "python", version=version, memory_bytes=memory_bytes)


def edit_sources(folder: Path, edit: Callable[[str], str]) -> None:
    for file in folder.rglob("*.py"):
        file.write_text(edit(file.read_text()))


def grpc_request(name: str) -> v2_dataplane_pb2.ModelInferRequest:
    request = v2_dataplane_pb2.ModelInferRequest(model_name=name, model_version="7", id="call-1")
    tensor = request.inputs.add(name="x", datatype="INT32", shape=[3])
    tensor.contents.int_contents.extend([1, 2, 3])
    return request


async def loaded(scheduler: SchedulerPeer, model: agent_pb2.ModelVersion) -> agent_pb2.ModelEventMessage:
    await scheduler.load(model)
    event = await scheduler.event()
    assert event.event == Event.LOADED, event.message
    return event


async def test_a_model_is_loaded_served_and_unloaded(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server, memory_bytes="5000")
    registration, metadata = await agent.start()
    assert (registration.serverName, registration.replicaIdx, registration.shared) == (server.kind, 0, True)
    assert registration.availableMemoryBytes == 5000
    assert registration.replicaConfig.inferenceHttpPort == agent.ports[0]
    assert registration.replicaConfig.inferenceGrpcPort == agent.ports[1]
    assert metadata[agent_metadata.INFERENCE_HTTP] == f"127.0.0.1:{server.http_port}"
    assert metadata[agent_metadata.INFERENCE_GRPC] == f"127.0.0.1:{server.grpc_port}"
    assert metadata[agent_metadata.SERVER_TYPE] == server.kind

    model = model_for(server, tmp_path, "double")
    event = await loaded(scheduler, model)
    assert (event.modelName, event.modelVersion, event.availableMemoryBytes) == ("double", 1, 4000)
    assert event.runtimeInfo.WhichOneof("modelRuntimeInfo") == server.kind

    status, answer, _ = await infer(server.url, "double_1")
    assert (status, answer["outputs"][0]["data"]) == (200, [2, 4, 6])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{agent.ports[2]}") as channel:
        debug = agent_debug_pb2_grpc.AgentDebugServiceStub(channel)
        held = await debug.ReplicaStatus(agent_debug_pb2.ReplicaStatusRequest())
    assert [(one.name, one.state) for one in held.models] == [("double_1", agent_debug_pb2.ModelReplicaState.InMemory)]

    await scheduler.unload(model)
    event = await scheduler.event()
    assert (event.event, event.availableMemoryBytes) == (Event.UNLOADED, 5000)
    assert (await infer(server.url, "double_1"))[0] == 404
    assert not (server.agent_folder / "models" / "double_1").exists()
    assert not any((server.agent_folder / "rclone").iterdir())

    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{agent.ports[3]}/metrics") as answered:
        metrics = await answered.text()
    labels = f'server="{server.kind}",server_replica="0"'
    assert "# TYPE seldon_load_model_counter counter\n" in metrics
    assert f"seldon_load_model_counter{{{labels}}} 1" in metrics
    assert f"seldon_unload_model_counter{{{labels}}} 1" in metrics
    assert f'seldon_loaded_model_gauge{{model_internal="double_1",{labels}}} 0.0' in metrics
    assert await agent.end() == 0


async def test_failures_name_their_cause(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server, memory_bytes="5000")
    await agent.start()

    async def failure(model: agent_pb2.ModelVersion) -> str:
        await scheduler.load(model)
        event = await scheduler.event()
        assert event.event == Event.LOAD_FAILED
        assert event.availableMemoryBytes == 5000
        return event.message

    assert "found nothing at /nowhere/model" in await failure(definition("missing", "/nowhere/model"))
    assert "didn't find section in config file" in await failure(definition("remote", "gs9://bucket/model"))
    secret = definition("secret", "gs://bucket/model")
    secret.model.modelSpec.storageConfig.storageSecretName = "gs-secret"
    assert "use storageRcloneConfig" in await failure(secret)
    big = model_for(server, tmp_path, "big", memory_bytes=6000)
    assert "needs 6000 bytes and the replica has 5000 of 5000 bytes free" in await failure(big)
    broken = model_for(server, tmp_path, "broken")
    edit_sources(Path(broken.model.modelSpec.uri), lambda source: f"{source}\nraise ValueError('broken on purpose')\n")
    assert "broken on purpose" in await failure(broken)
    assert not any((server.agent_folder / "models").iterdir())


async def test_an_unreadable_artifact_gives_the_servers_own_words(
    mlserver: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    await make_agent(mlserver).start()
    (tmp_path / "model.joblib").write_bytes(b"not a model")
    await scheduler.load(definition("corrupt", str(tmp_path), "sklearn"))
    event = await scheduler.event()
    assert event.event == Event.LOAD_FAILED
    assert "mlserver could not load corrupt_1: " in event.message


async def test_rest_through_the_agent(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server)
    await agent.start()
    await loaded(scheduler, model_for(server, tmp_path, "double"))
    await loaded(scheduler, model_for(server, tmp_path, "double", version=2))
    for headers, internal in (
        ({"seldon_internal_model": "double_1"}, "double_1"),
        ({"seldon_internal_model": "other_3,double_1"}, "double_1"),
        ({"seldon_model": "double"}, "double_2"),
    ):
        status, answer, answered = await infer(agent.url, "any/versions/9", **headers, x_request_id="my-id")
        assert (status, answer["model_name"], answer["outputs"][0]["data"]) == (200, internal, [2, 4, 6])
        assert answered["x-request-id"] == "my-id"
    status, answer, answered = await infer(agent.url, "any", seldon_model="stranger")
    assert (status, answer) == (404, {"error": "no version of model stranger is on this replica"})
    assert answered["x-request-id"]
    assert (await infer(agent.url, "any", seldon_internal_model="double_9"))[0] == 404
    assert (await infer(agent.url, "double_1"))[0] == 200
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{agent.url}/v2/models/x/ready", headers={"seldon-model": "double"}) as answered_get:
            assert answered_get.status == 200
        async with client.post(f"{agent.url}/v2/repository/models/double_1/unload") as answered_get:
            assert answered_get.status == 404
        wrong = {"seldon-model": "double"}
        async with client.post(f"{agent.url}/v2/models/x/infer", json={}, headers=wrong) as answered_get:
            passed_on = await answered_get.json()
        async with client.post(f"{server.url}/v2/models/double_2/infer", json={}) as answered_get:
            assert passed_on == await answered_get.json()


async def test_an_answer_in_events_streams_through(
    mlserver: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(mlserver)
    await agent.start()
    await loaded(scheduler, model_for(mlserver, tmp_path, "double"))
    url = f"{agent.url}/v2/models/x/infer_stream"
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, json=body(), headers={"seldon-model": "double"}) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.content if line.startswith(b"data:")]
    assert [json.loads(line[5:])["outputs"][0]["data"] for line in lines] == [[2, 4, 6]] * 3


async def test_grpc_through_the_agent(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server)
    await agent.start()
    await loaded(scheduler, model_for(server, tmp_path, "double"))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{agent.ports[1]}") as channel:
        stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        named = (("seldon-internal-model", "double_1"),)
        call = stub.ModelInfer(grpc_request("anything"), metadata=named)
        answer = await call
        assert (answer.model_name, answer.id) == ("double_1", "call-1")
        assert dict(await call.trailing_metadata())["x-request-id"]
        assert (await stub.ModelReady(v2_dataplane_pb2.ModelReadyRequest(name="any"), metadata=named)).ready
        described = await stub.ModelMetadata(v2_dataplane_pb2.ModelMetadataRequest(name="any"), metadata=named)
        assert described.name == "double_1"
        assert (await stub.ServerLive(v2_dataplane_pb2.ServerLiveRequest())).live
        for metadata, code, words in (
            ((), grpc.StatusCode.FAILED_PRECONDITION, "seldon-internal-model='', seldon-model=''"),
            ((("seldon-model", "stranger"),), grpc.StatusCode.NOT_FOUND, "stranger"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ModelInfer(grpc_request("any"), metadata=metadata)
            assert caught.value.code() is code
            assert words in str(caught.value.details())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.RepositoryIndex(v2_dataplane_pb2.RepositoryIndexRequest(), metadata=named)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_grpc_streams_through_the_agent(
    mlserver: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(mlserver)
    await agent.start()
    await loaded(scheduler, model_for(mlserver, tmp_path, "double"))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{agent.ports[1]}") as channel:
        stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelStreamInfer(iter([grpc_request("any")]), metadata=(("seldon-model", "double"),))
        answers = [list(answer.outputs[0].contents.int_contents) async for answer in call]
    assert answers == [[2, 4, 6]] * 3


async def test_a_killed_agent_adopts_what_still_runs(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server)
    await agent.start()
    first = model_for(server, tmp_path, "double")
    await loaded(scheduler, first)
    await agent.end(signal.SIGKILL)
    stray = server.agent_folder / "models" / "half_1"
    stray.mkdir()

    registration, _ = await agent.start()
    assert [(one.model.meta.name, one.version) for one in registration.loadedModels] == [("double", 1)]
    assert registration.loadedModels[0].model.modelSpec.uri == first.model.modelSpec.uri
    assert registration.availableMemoryBytes == 1_000_000 - 1000
    assert not stray.exists()
    assert (await infer(agent.url, "any", seldon_model="double"))[0] == 200
    await loaded(scheduler, first)
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{agent.ports[3]}/metrics") as answered:
        assert "seldon_load_model_counter{" in (text := await answered.text())
        assert f'seldon_load_model_counter{{server="{server.kind}",server_replica="0"}} 0' in text


async def test_requests_wait_for_a_server_that_restarts(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server)
    await agent.start()
    await loaded(scheduler, model_for(server, tmp_path, "double"))
    await loaded(scheduler, model_for(server, tmp_path, "twice"))
    server.kill()
    waiting = [asyncio.create_task(infer(agent.url, "any", seldon_model="double")) for _ in range(5)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{agent.ports[1]}") as channel:
        stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        call = stub.ModelInfer(grpc_request("any"), metadata=(("seldon-model", "twice"),))
        await asyncio.to_thread(server.start)
        assert (await call).model_name == "twice_1"
    for status, answer, _ in await asyncio.gather(*waiting):
        assert (status, answer["outputs"][0]["data"]) == (200, [2, 4, 6])


async def test_a_server_that_stays_away_is_a_503(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server, cold_wait_seconds="0.5")
    await agent.start()
    await loaded(scheduler, model_for(server, tmp_path, "double"))
    server.kill()
    try:
        status, answer, _ = await infer(agent.url, "any", seldon_model="double")
        assert status == 503
        assert server.kind in answer["error"]
    finally:
        await asyncio.to_thread(server.start)


async def test_without_its_server_it_sends_callers_elsewhere_at_once(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server, cold_wait_seconds="3600")
    await agent.start()
    await loaded(scheduler, model_for(server, tmp_path, "double"))
    marked = {"x-seldon-elsewhere": "yes", "x-seldon-counted": "envoy"}
    # What is really unknown is the last word, for Envoy alone.
    status, _, headers = await infer(agent.url, "any", **{"seldon-model": "stranger"}, **marked)
    assert (status, "x-envoy-ratelimited" in headers, "x-seldon-elsewhere" in headers) == (404, True, False)
    status, _, headers = await infer(agent.url, "any", **{"seldon-model": "stranger"})
    assert (status, "x-envoy-ratelimited" in headers) == (404, False)
    server.kill()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{agent.ports[1]}") as channel:
            status, answer, headers = await infer(agent.url, "any", **{"seldon-model": "double"}, **marked)
            assert (status, headers["x-seldon-elsewhere"]) == (503, "yes")
            assert "ask another replica" in answer["error"]
            stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
            metadata = (("seldon-model", "double"), *marked.items())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ModelInfer(grpc_request("any"), metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert dict(caught.value.trailing_metadata() or ())["x-seldon-elsewhere"] == "yes"
    finally:
        await asyncio.to_thread(server.start)


async def test_a_model_that_the_server_dropped_is_loaded_by_a_request(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server)
    await agent.start()
    await loaded(scheduler, model_for(server, tmp_path, "double"))
    named = (("seldon-model", "double"),)
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as direct,
        grpc.aio.insecure_channel(f"127.0.0.1:{agent.ports[1]}") as proxied,
    ):
        behind = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(direct)
        stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(proxied)
        drop = v2_dataplane_pb2.RepositoryModelUnloadRequest(model_name="double_1")
        await behind.RepositoryModelUnload(drop)
        answers = await asyncio.gather(*(infer(agent.url, "any", seldon_model="double") for _ in range(10)))
        assert [status for status, _, _ in answers] == [200] * 10
        await behind.RepositoryModelUnload(drop)
        assert (await stub.ModelInfer(grpc_request("any"), metadata=named)).model_name == "double_1"


async def test_the_agent_comes_back_to_a_scheduler_that_was_away(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent: AgentProcess = make_agent(server)
    await agent.start()
    model = model_for(server, tmp_path, "double")
    await loaded(scheduler, model)
    await scheduler.stop()
    await scheduler.start()
    registration, _ = await scheduler.subscription()
    assert [one.model.meta.name for one in registration.loadedModels] == ["double"]
    await scheduler.unload(model)
    event = await scheduler.event()
    if event.event == Event.LOADED:  # told again: the scheduler went before it had answered
        event = await scheduler.event()
    assert event.event == Event.UNLOADED
    await scheduler.unload(model)
    assert (await scheduler.event()).event == Event.UNLOADED


def hold_at_start(folder: Path) -> tuple[Path, Path]:
    """Make a model's start wait; gives the file that tells of the waiting and the one that ends it."""
    started, gate = folder / "started", folder / "gate"
    wait = f"open({str(started)!r}, 'w').close()\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\n"
    edit_sources(folder, lambda source: f"import os\nimport time\n{source}\n{wait}")
    return started, gate


def wait_for_file(file: Path) -> None:
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.02)


async def test_a_load_under_way_is_joined_and_an_unload_ends_it(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    await make_agent(server).start()
    model = model_for(server, tmp_path, "slow")
    started, gate = hold_at_start(Path(model.model.modelSpec.uri))
    await scheduler.load(model)
    await asyncio.to_thread(wait_for_file, started)
    await scheduler.load(model)
    await scheduler.unload(model)
    assert (await scheduler.event()).event == Event.UNLOADED
    gate.touch()
    await loaded(scheduler, model_for(server, tmp_path, "other"))
    # What the server finishes nevertheless is taken out of it.
    deadline = time.monotonic() + 30
    while (await infer(server.url, "slow_1"))[0] == 200:
        assert time.monotonic() < deadline, "slow_1 still answers"


async def test_an_agent_killed_in_the_middle_of_a_load_leaves_nothing(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server)
    await agent.start()
    model = model_for(server, tmp_path, "slow")
    started, gate = hold_at_start(Path(model.model.modelSpec.uri))
    await scheduler.load(model)
    await asyncio.to_thread(wait_for_file, started)
    await agent.end(signal.SIGKILL)
    gate.touch()
    registration, _ = await agent.start()
    assert not registration.loadedModels
    assert registration.availableMemoryBytes == 1_000_000
    assert not (server.agent_folder / "models" / "slow_1").exists()
    await loaded(scheduler, model)


async def test_a_new_definition_under_the_same_version_replaces_the_old_one(
    server: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(server)
    await agent.start()
    await loaded(scheduler, model_for(server, tmp_path / "a", "double"))
    triple = model_for(server, tmp_path / "b", "double")
    edit_sources(Path(triple.model.modelSpec.uri), lambda source: source.replace("2 * x", "3 * x"))
    await loaded(scheduler, triple)
    _, answer, _ = await infer(agent.url, "any", seldon_model="double")
    assert answer["outputs"][0]["data"] == [3, 6, 9]
