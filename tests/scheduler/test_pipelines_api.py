"""Pipelines over real gRPC: what is refused and with which words, what members are told, what subscribers read."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from mlops.chainer import chainer_pb2
from mlops.health import health_pb2, health_pb2_grpc
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.envoy.resources import SCOPE, ResourceKey
from shared.owners import owners_of
from tests.peers.envoy import EnvoyPeer
from tests.peers.ports import free_port
from tests.scheduler.builders import model, pipeline
from tests.scheduler.conftest import HOST, Running, running
from tests.scheduler.member_peers import EnginePeer, ModelGatewayPeer, PipelineGatewayPeer

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
INVALID = grpc.StatusCode.INVALID_ARGUMENT
READY = pb.PipelineVersionState.PipelineReady
_PATIENCE = 20.0


async def join(scheduler: Running, peer: EnginePeer | PipelineGatewayPeer | ModelGatewayPeer) -> asyncio.Task[None]:
    joined = asyncio.Event()
    task = scheduler.add_peer(peer.run, joined)
    await joined.wait()
    return task


def engine(scheduler: Running, **fields: Any) -> EnginePeer:
    return EnginePeer(f"{HOST}:{scheduler.settings.dataflow_port}", **fields)


def pipeline_gateway(scheduler: Running, **fields: Any) -> PipelineGatewayPeer:
    return PipelineGatewayPeer(f"{HOST}:{scheduler.settings.scheduler_port}", free_port(), free_port(), **fields)


def model_gateway(scheduler: Running, **fields: Any) -> ModelGatewayPeer:
    return ModelGatewayPeer(f"{HOST}:{scheduler.settings.scheduler_port}", **fields)


async def load(scheduler: Running, submitted: pb.Pipeline) -> None:
    await scheduler.api.LoadPipeline(pb.LoadPipelineRequest(pipeline=submitted), wait_for_ready=True)


async def until(scheduler: Running, name: str, holds: Callable[[pb.PipelineWithState], bool]) -> pb.PipelineWithState:
    feed = scheduler.api.SubscribePipelineStatus(
        pb.PipelineSubscriptionRequest(subscriberName="test"), timeout=_PATIENCE, wait_for_ready=True
    )
    seen = []
    try:
        async for message in feed:
            (latest,) = message.versions
            if message.pipelineName == name and holds(latest):
                feed.cancel()
                return latest
            seen.append(str(latest.state))
    except grpc.aio.AioRpcError as error:
        raise AssertionError(f"{name} does not get there: {seen}") from error
    raise AssertionError("the feed ended")


async def until_there(envoy: EnvoyPeer, key: ResourceKey) -> None:
    async with asyncio.timeout(_PATIENCE):
        while key not in envoy.client.resources:
            envoy.changed.clear()
            await envoy.changed.wait()


def is_ready(version: pb.PipelineWithState) -> bool:
    state = version.state
    return (state.status, state.pipelineGwStatus) == (READY, READY)


async def status_of(scheduler: Running, name: str, *, all_versions: bool = False) -> pb.PipelineStatusResponse:
    request = pb.PipelineStatusRequest(name=name, allVersions=all_versions)
    (message,) = [message async for message in scheduler.api.PipelineStatus(request)]
    return message


async def test_a_pipeline_becomes_ready_and_routed(scheduler: Running) -> None:
    envoy = await scheduler.add_envoy()
    await scheduler.add_agent()
    flow, pgw, mgw = engine(scheduler), pipeline_gateway(scheduler), model_gateway(scheduler)
    for peer in (flow, pgw, mgw):
        await join(scheduler, peer)
    submitted = pipeline("alpha", "iris", "wine")
    submitted.allowCycles, submitted.maxStepRevisits = True, 7
    await load(scheduler, submitted)
    waiting = await until(scheduler, "alpha", is_ready)
    assert not waiting.state.modelsReady
    await scheduler.load(model("iris"))
    await scheduler.load(model("wine"))
    done = await until(scheduler, "alpha", lambda version: is_ready(version) and version.state.modelsReady)

    assert (done.pipeline.version, len(done.pipeline.uid)) == (1, 20)
    assert (done.pipeline.allowCycles, done.pipeline.maxStepRevisits) == (True, 7)
    assert list(done.pipeline.steps[1].inputs) == ["iris.outputs"]
    assert ResourceKey(SCOPE, "alpha.pipeline") in envoy.client.resources
    (creation,) = flow.told
    assert (creation.op, creation.pipeline, creation.uid) == (1, "alpha", done.pipeline.uid)
    assert creation.pipelineOutputTopic == "seldon.default.pipeline.alpha.outputs"
    assert creation.stream == "flow-0"
    assert creation.timestamp > 0
    assert owners_of(creation) == ("flow-0",)
    (told,) = pgw.told
    assert (told.operation, told.versions[0].pipeline) == (pb.PipelineStatusResponse.PipelineCreate, done.pipeline)
    assert {message.modelName for message in mgw.told} == {"iris", "wine"}
    assert owners_of(mgw.told[0]) == ("mgw-0",)


async def test_bad_pipelines_and_unknown_names_are_refused_with_a_sentence(scheduler: Running) -> None:
    api = scheduler.api
    calls: list[tuple[Callable[[], Awaitable[Any]], grpc.StatusCode, str]] = [
        (lambda: api.LoadPipeline(pb.LoadPipelineRequest()), PRECONDITION, "request has no pipeline"),
        (lambda: load(scheduler, pipeline("Alpha", "iris")), PRECONDITION, "valid name 'Alpha'"),
        (lambda: load(scheduler, pipeline("alpha")), PRECONDITION, "pipeline alpha has no steps defined"),
        (lambda: api.UnloadPipeline(pb.UnloadPipelineRequest()), PRECONDITION, "request has no name"),
        (lambda: api.UnloadPipeline(pb.UnloadPipelineRequest(name="ghost")), PRECONDITION, "pipeline ghost not found"),
        (lambda: status_of(scheduler, "ghost"), PRECONDITION, "pipeline ghost not found"),
        (
            lambda: api.PipelineStatusEvent(chainer_pb2.PipelineUpdateStatusMessage()),
            INVALID,
            "status event has no update",
        ),
        (lambda: api.ModelStatusEvent(pb.ModelUpdateStatusMessage()), INVALID, "status event has no update"),
        (
            lambda: api.ModelStatusEvent(pb.ModelUpdateStatusMessage(update=pb.ModelUpdateMessage(model="iris"))),
            INVALID,
            "invalid update.op 'Unknown'",
        ),
        (
            lambda: api.SubscribePipelineStatus(pb.PipelineSubscriptionRequest(isPipelineGateway=True)).read(),
            PRECONDITION,
            "request has no subscriberName",
        ),
        (
            lambda: api.SubscribePipelineStatus(
                pb.PipelineSubscriptionRequest(isPipelineGateway=True, subscriberName="pgw-0")
            ).read(),
            PRECONDITION,
            "request has no subscriberIp",
        ),
        (
            lambda: api.SubscribeModelStatus(pb.ModelSubscriptionRequest(isModelGateway=True)).read(),
            PRECONDITION,
            "request has no subscriberName",
        ),
    ]
    for call, code, sentence in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        assert caught.value.code() is code, sentence
        assert sentence in (caught.value.details() or "")
    assert [status async for status in api.PipelineStatus(pb.PipelineStatusRequest())] == []


async def test_loops_across_pipelines_are_refused(scheduler: Running) -> None:
    first, second = pipeline("alpha", "iris"), pipeline("beta", "wine")
    first.input.externalInputs.append("beta")
    second.input.externalInputs.append("alpha")
    await load(scheduler, first)
    with pytest.raises(grpc.aio.AioRpcError, match="cycle across pipelines"):
        await load(scheduler, second)


async def test_an_update_keeps_the_working_version_until_the_new_one_is_ready(scheduler: Running) -> None:
    await scheduler.add_envoy()
    mended = asyncio.Event()
    refuse = lambda told: "" if told.version == 1 or mended.is_set() else "no such topic"  # noqa: E731
    flow, pgw = engine(scheduler, verdict=refuse), pipeline_gateway(scheduler)
    await join(scheduler, flow)
    await join(scheduler, pgw)
    await load(scheduler, pipeline("alpha", "iris", generation=3))
    await until(scheduler, "alpha", is_ready)
    await load(scheduler, pipeline("alpha", "iris", generation=3))
    assert (await status_of(scheduler, "alpha")).versions[0].pipeline.version == 1
    await load(scheduler, pipeline("alpha", "iris", generation=4))
    failed = await until(
        scheduler, "alpha", lambda version: version.state.status == pb.PipelineVersionState.PipelineFailed
    )
    assert "flow-0 failed: no such topic; tried again at 20" in failed.state.reason
    async with httpx.AsyncClient() as client:
        address = f"http://{HOST}:{scheduler.settings.health_port}"
        explained = (await client.get(f"{address}/explain/pipelines/alpha")).json()
        unknown = await client.get(f"{address}/explain/pipelines/ghost")
    assert "Version 1 goes on answering" in explained["summary"]
    assert explained["engines"]["owners"] == ["flow-0"]
    assert explained["versions"][0]["members"][0]["told_again"]
    assert unknown.status_code == 404
    assert all(told.op == chainer_pb2.PipelineUpdateMessage.Create for told in flow.told)
    mended.set()
    await until(scheduler, "alpha", lambda version: version.state.pipelineVersion == 2 and is_ready(version))
    states = [version.state for version in (await status_of(scheduler, "alpha", all_versions=True)).versions]
    assert [state.pipelineVersion for state in states] == [1, 2]
    await flow.until_told(chainer_pb2.PipelineUpdateMessage.Delete, 1)


async def test_unload_ends_at_gateways_and_engines_and_can_be_loaded_again(scheduler: Running) -> None:
    envoy = await scheduler.add_envoy()
    flow, pgw = engine(scheduler), pipeline_gateway(scheduler)
    await join(scheduler, flow)
    await join(scheduler, pgw)
    await load(scheduler, pipeline("alpha", "iris", clean=True))
    first = await until(scheduler, "alpha", is_ready)
    await scheduler.api.UnloadPipeline(pb.UnloadPipelineRequest(name="alpha"))
    terminated = pb.PipelineVersionState.PipelineTerminated
    await until(scheduler, "alpha", lambda version: version.state.status == terminated)
    await envoy.until_withdrawn(ResourceKey(SCOPE, "alpha.pipeline"))
    assert pgw.told[-1].operation == pb.PipelineStatusResponse.PipelineDelete
    (removed,) = flow.told[-1].updates
    assert removed.sources[0].topicName == "seldon.default.pipeline.alpha.inputs"
    with pytest.raises(grpc.aio.AioRpcError, match="pipeline alpha not found"):
        await scheduler.api.UnloadPipeline(pb.UnloadPipelineRequest(name="alpha"))
    await load(scheduler, pipeline("alpha", "iris"))
    again = await until(scheduler, "alpha", is_ready)
    assert again.pipeline.version == 1
    assert again.pipeline.uid > first.pipeline.uid


async def test_answers_of_earlier_rounds_and_strangers_are_ignored(scheduler: Running) -> None:
    flow = engine(scheduler)
    await join(scheduler, flow)
    await load(scheduler, pipeline("alpha", "iris"))
    await until(scheduler, "alpha", lambda version: version.state.status == READY)
    (told,) = flow.told
    async with grpc.aio.insecure_channel(flow.target) as channel:
        report = channel.unary_unary(
            "/seldon.mlops.chainer.Chainer/PipelineUpdateEvent",
            request_serializer=chainer_pb2.PipelineUpdateStatusMessage.SerializeToString,
            response_deserializer=chainer_pb2.PipelineUpdateStatusResponse.FromString,
        )
        for field, value in (("timestamp", told.timestamp - 1), ("stream", "nobody"), ("pipeline", "ghost")):
            changed = chainer_pb2.PipelineUpdateMessage()
            changed.CopyFrom(told)
            setattr(changed, field, value)
            await report(chainer_pb2.PipelineUpdateStatusMessage(update=changed, success=False, reason="no"))
        wrong = chainer_pb2.PipelineUpdateMessage()
        wrong.CopyFrom(told)
        wrong.uid = "another"
        with pytest.raises(grpc.aio.AioRpcError, match="was not asked for in this round") as caught:
            await report(chainer_pb2.PipelineUpdateStatusMessage(update=wrong))
        assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert (await status_of(scheduler, "alpha")).versions[0].state.status == READY


async def test_a_second_subscription_of_the_same_name_takes_over(scheduler: Running) -> None:
    first, second = engine(scheduler), engine(scheduler)
    task = await join(scheduler, first)
    await load(scheduler, pipeline("alpha", "iris"))
    await until(scheduler, "alpha", lambda version: version.state.status == READY)
    await join(scheduler, second)
    await task
    await until(scheduler, "alpha", lambda version: version.state.status == READY)
    assert [told.op for told in second.told] == [chainer_pb2.PipelineUpdateMessage.Create]
    assert second.told[0].timestamp > first.told[-1].timestamp


async def test_model_gateways_are_shown_and_models_do_not_wait_for_them(with_iris: Running) -> None:
    message = await with_iris.until("iris", pb.ModelStatus.ModelAvailable)
    assert message.versions[0].state.modelGwState == pb.ModelStatus.ModelCreate
    assert message.versions[0].state.modelGwReason == "no model gateways available to handle model"
    mgw = model_gateway(with_iris, verdict=lambda _: "no kafka")
    await join(with_iris, mgw)
    feed = with_iris.api.SubscribeModelStatus(pb.ModelSubscriptionRequest(subscriberName="test"), timeout=_PATIENCE)
    async for seen in feed:
        state = seen.versions[0].state
        if state.modelGwState == pb.ModelStatus.ModelFailed:
            assert "mgw-0 failed: no kafka; tried again at" in state.modelGwReason
            assert state.state == pb.ModelStatus.ModelAvailable
            break
    mgw.verdict = lambda _: ""
    await with_iris.api.UnloadModel(pb.UnloadModelRequest(model=pb.ModelReference(name="iris")))
    async for seen in feed:
        if seen.versions[0].state.modelGwState == pb.ModelStatus.ModelTerminated:
            break
    feed.cancel()
    assert mgw.told[-1].operation == pb.ModelStatusResponse.ModelDelete
    assert mgw.told[-1].keepTopics


async def test_restart_brings_pipelines_back_without_taking_their_route_from_envoy(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        await first.add_envoy()
        flow, pgw = engine(first), pipeline_gateway(first)
        await join(first, flow)
        await join(first, pgw)
        await load(first, pipeline("alpha", "iris"))
        before = await until(first, "alpha", is_ready)
    async with running(tmp_path) as second:
        # The first answer that an Envoy gets has the route, although no gateway has come back yet.
        envoy = await second.add_envoy()
        await until_there(envoy, ResourceKey(SCOPE, "alpha.pipeline"))
        assert not is_ready((await status_of(second, "alpha")).versions[0])
        flow.target = f"{HOST}:{second.settings.dataflow_port}"
        pgw.target = f"{HOST}:{second.settings.scheduler_port}"
        await join(second, flow)
        await join(second, pgw)
        after = await until(second, "alpha", is_ready)
        assert ResourceKey(SCOPE, "alpha.pipeline") in envoy.client.resources
    assert after.pipeline == before.pipeline
    assert [told.op for told in flow.told] == [chainer_pb2.PipelineUpdateMessage.Create] * 2


async def test_metrics_and_health(scheduler: Running) -> None:
    await join(scheduler, engine(scheduler))
    await load(scheduler, pipeline("alpha", "iris"))
    await until(scheduler, "alpha", lambda version: version.state.status == READY)
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://{HOST}:{scheduler.settings.health_port}/metrics")).text
    assert 'seldon_scheduler_members_connected{kind="dataflow_engine"} 1.0' in text
    assert 'seldon_scheduler_instruction_rounds_total{kind="dataflow_engine"}' in text
    assert 'seldon_scheduler_pipelines{status="PipelineReady"} 1.0' in text
    async with grpc.aio.insecure_channel(f"{HOST}:{scheduler.settings.dataflow_port}") as channel:
        answer = await health_pb2_grpc.HealthCheckServiceStub(channel).HealthCheck(health_pb2.HealthCheckRequest())
    assert answer.ok
