"""The gRPC services over real sockets: what is refused and with which words, and what subscribers read."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import grpc
import grpc.aio
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from mlops.agent import agent_pb2
from mlops.health import health_pb2 as own_health_pb2
from mlops.health import health_pb2_grpc as own_health_pb2_grpc
from mlops.scheduler import scheduler_pb2 as pb
from xds.service.discovery.v3 import discovery_pb2

from services.scheduler.core.envoy.resources import CLUSTER, SCOPE, ResourceKey
from services.scheduler.core.models.placement import NO_REPLICAS, NO_SERVER
from tests.peers.agent import AgentPeer
from tests.peers.ports import free_port
from tests.scheduler.builders import model
from tests.scheduler.conftest import Running, running

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def changed(name: str = "iris", **fields: object) -> pb.Model:
    """A valid model with some of its parts replaced."""
    made = model(name)
    for path, value in fields.items():
        part, _, leaf = path.partition("__")
        setattr(getattr(made, part), leaf, value)
    return made


def without(part: Literal["meta", "modelSpec", "deploymentSpec"]) -> pb.Model:
    made = model("iris")
    made.ClearField(part)
    return made


def explainer() -> pb.Model:
    made = model("iris")
    made.modelSpec.explainer.type = "anchor_tabular"
    return made


def llm() -> pb.Model:
    made = model("iris")
    made.modelSpec.llm.SetInParent()
    return made


def calls_two(kind: Literal["explainer", "llm"]) -> pb.Model:
    made = model("iris")
    reference = made.modelSpec.explainer if kind == "explainer" else made.modelSpec.llm
    reference.modelRef, reference.pipelineRef = "income", "joins"
    return made


def generation(number: int) -> pb.Model:
    made = model("iris")
    made.meta.kubernetesMeta.generation = number
    return made


BAD_MODELS = {
    "no model": (pb.LoadModelRequest(), PRECONDITION, "request has no model"),
    "no meta": (pb.LoadModelRequest(model=without("meta")), PRECONDITION, "model has no meta"),
    "empty name": (pb.LoadModelRequest(model=model("")), PRECONDITION, "does not have a valid name ''"),
    "underscore": (pb.LoadModelRequest(model=model("a_b")), PRECONDITION, "does not have a valid name 'a_b'"),
    "upper case": (pb.LoadModelRequest(model=model("Iris")), PRECONDITION, "does not have a valid name 'Iris'"),
    "dot": (pb.LoadModelRequest(model=model("a.model")), PRECONDITION, "does not have a valid name"),
    "long name": (pb.LoadModelRequest(model=model("a" * 254)), PRECONDITION, "at most 253 characters"),
    "line break": (pb.LoadModelRequest(model=model("iris\n")), PRECONDITION, "does not have a valid name"),
    "no spec": (pb.LoadModelRequest(model=without("modelSpec")), PRECONDITION, "has no modelSpec"),
    "no uri": (pb.LoadModelRequest(model=model("iris", "")), PRECONDITION, "empty modelSpec.uri"),
    "blank requirement": (
        pb.LoadModelRequest(model=model("iris", requirements=("sklearn", " "))),
        PRECONDITION,
        "blank modelSpec.requirements",
    ),
    "explains nothing": (pb.LoadModelRequest(model=explainer()), PRECONDITION, "explains nothing"),
    "refers to nothing": (pb.LoadModelRequest(model=llm()), PRECONDITION, "refers to nothing"),
    "explains two": (
        pb.LoadModelRequest(model=calls_two("explainer")),
        PRECONDITION,
        "two things that it calls, model income and pipeline joins: set one, explainer.modelRef or explainer.pipeline",
    ),
    "refers to two": (
        pb.LoadModelRequest(model=calls_two("llm")),
        PRECONDITION,
        "set one, llm.modelRef or llm.pipelineRef",
    ),
    "minimum above wanted": (
        pb.LoadModelRequest(model=model("iris", replicas=1, min_replicas=2)),
        INVALID,
        "invalid deploymentSpec.minReplicas 2: at most replicas (1)",
    ),
    "wanted above maximum": (
        pb.LoadModelRequest(model=changed(deploymentSpec__replicas=3, deploymentSpec__maxReplicas=2)),
        INVALID,
        "invalid deploymentSpec.replicas 3: at most maxReplicas (2)",
    ),
    "generation too big": (
        pb.LoadModelRequest(model=generation(2**40)),
        INVALID,
        "invalid meta.kubernetesMeta.generation",
    ),
}


async def test_bad_models_are_refused_with_a_sentence(scheduler: Running) -> None:
    for case, (request, code, sentence) in BAD_MODELS.items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await scheduler.api.LoadModel(request)
        assert caught.value.code() is code, case
        assert sentence in (caught.value.details() or ""), case
    assert [status async for status in scheduler.api.ModelStatus(pb.ModelStatusRequest())] == []


async def test_unknown_names_are_refused_with_a_sentence(scheduler: Running) -> None:
    api, ref = scheduler.api, pb.ModelReference(name="ghost")
    unary: dict[str, Callable[[], Any]] = {
        "Model ghost not found": lambda: api.UnloadModel(pb.UnloadModelRequest(model=ref)),
        "request has no model.name": lambda: api.UnloadModel(pb.UnloadModelRequest()),
        "request has no servers[0].name": lambda: api.ServerNotify(pb.ServerNotifyRequest(servers=[pb.ServerNotify()])),
        "Failed to find model ghost": lambda: api.ModelStatus(pb.ModelStatusRequest(model=ref)).read(),
        "Server [ghost] not found": lambda: api.ServerStatus(pb.ServerStatusRequest(name="ghost")).read(),
    }
    for sentence, call in unary.items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        assert caught.value.code() is PRECONDITION
        assert sentence in (caught.value.details() or "")


async def test_a_model_without_a_place_is_accepted_and_says_why(scheduler: Running) -> None:
    await scheduler.load(model("nowhere"))
    await scheduler.add_agent()
    await scheduler.load(model("picky", requirements=("torch",)))
    await scheduler.load(model("pinned", server="ghost"))
    await scheduler.load(model("huge", memory=10**12))
    reasons = {
        status.modelName: status.versions[0].state
        async for status in scheduler.api.ModelStatus(pb.ModelStatusRequest())
    }
    failed = pb.ModelStatus.ScheduleFailed
    assert reasons["nowhere"].state == pb.ModelStatus.ModelProgressing  # the agent has come since
    for name, beginning, cause in (
        ("picky", NO_SERVER, "mlserver lacks capability torch"),
        ("pinned", NO_SERVER, "the model asks for server 'ghost'"),
        ("huge", NO_REPLICAS, "needs 1000000000000 bytes, has"),
    ):
        assert reasons[name].state == failed
        assert reasons[name].reason.startswith(beginning)
        assert cause in reasons[name].reason
        assert "tried again as soon as" in reasons[name].reason


async def test_a_model_without_memory_or_deployment_is_accepted(scheduler: Running) -> None:
    bare = without("deploymentSpec")
    bare.modelSpec.ClearField("memoryBytes")
    await scheduler.load(bare)
    (status,) = [status async for status in scheduler.api.ModelStatus(pb.ModelStatusRequest())]
    assert status.versions[0].version == 1


async def test_load_during_deletion_is_refused(scheduler: Running) -> None:
    await scheduler.add_envoy()
    agent = await scheduler.add_agent()
    agent.may_unload.clear()
    await scheduler.load(model("iris"))
    await scheduler.until("iris", pb.ModelStatus.ModelAvailable)
    await scheduler.api.UnloadModel(pb.UnloadModelRequest(model=pb.ModelReference(name="iris")))
    with pytest.raises(grpc.aio.AioRpcError, match="deletion in progress") as caught:
        await scheduler.load(model("iris"))
    assert caught.value.code() is PRECONDITION
    agent.may_unload.set()
    message = await scheduler.until("iris", pb.ModelStatus.ModelTerminated)
    assert message.deleted
    await scheduler.api.UnloadModel(pb.UnloadModelRequest(model=pb.ModelReference(name="iris")))
    request = pb.ModelStatusRequest(model=pb.ModelReference(name="iris"))
    (status,) = [status async for status in scheduler.api.ModelStatus(request)]
    assert status.deleted
    await scheduler.load(model("iris", "b"))
    await scheduler.until("iris", pb.ModelStatus.ModelAvailable)


async def test_a_failing_load_shows_the_agents_words_and_the_next_try(scheduler: Running) -> None:
    def verdict(entry: agent_pb2.ModelVersion) -> str:
        return "no such file" if entry.model.modelSpec.uri == "bad" else ""

    await scheduler.add_envoy()
    await scheduler.add_agent(AgentPeer(scheduler.agent_target, free_port(), free_port(), verdict=verdict))
    await scheduler.load(model("iris"))
    await scheduler.until("iris", pb.ModelStatus.ModelAvailable)
    await scheduler.load(model("iris", "bad"))
    message = await scheduler.until("iris", pb.ModelStatus.ModelFailed, version=2)
    assert message.versions[0].state.reason.startswith("no such file; tried again at 20")
    async with httpx.AsyncClient() as client:
        explained = await client.get(f"http://127.0.0.1:{scheduler.settings.health_port}/explain/models/iris")
    assert explained.json()["routed_version"] == 1
    assert "Version 1 goes on answering" in explained.json()["summary"]
    (failed,) = explained.json()["versions"][0]["replicas"]
    assert failed["waits"]["due"] == explained.json()["next_retry"]


async def test_model_feed_has_the_current_state_then_every_change(with_iris: Running) -> None:
    feed: Any = with_iris.api.SubscribeModelStatus(pb.ModelSubscriptionRequest(subscriberName="test"))
    first = await feed.read()
    assert (first.modelName, first.versions[0].state.state) == ("iris", pb.ModelStatus.ModelAvailable)
    assert first.versions[0].state.availableReplicas == 1
    await with_iris.load(model("iris", "b"))
    seen: list[tuple[int, int]] = []
    while not seen or seen[-1] != (2, pb.ModelStatus.ModelAvailable):
        (latest,) = (await feed.read()).versions
        if not seen or seen[-1] != (latest.version, latest.state.state):
            seen.append((latest.version, latest.state.state))
    assert seen == [(2, pb.ModelStatus.ModelProgressing), (2, pb.ModelStatus.ModelAvailable)]
    feed.cancel()


async def test_what_envoy_refuses_shows_and_leaves_nothing_behind(scheduler: Running) -> None:
    envoy = await scheduler.add_envoy(lambda sent: "no such filter" if _is_scope_of(sent, "iris_2") else "")
    await scheduler.add_agent()
    await scheduler.load(model("iris"))
    await scheduler.until("iris", pb.ModelStatus.ModelAvailable)
    await scheduler.load(model("iris", "b"))
    message = await scheduler.until("iris", pb.ModelStatus.ModelFailed, version=2)
    assert message.versions[0].state.reason == "no such filter"
    assert b"iris_1_http" in envoy.client.resources[ResourceKey(SCOPE, "iris")].resource.value
    await scheduler.load(model("iris", "c"))
    await scheduler.until("iris", pb.ModelStatus.ModelAvailable, version=3)
    for cluster in ("iris_1_http", "iris_1_grpc", "iris_2_http", "iris_2_grpc"):
        await envoy.until_withdrawn(ResourceKey(CLUSTER, cluster))
    assert b"iris_3_http" in envoy.client.resources[ResourceKey(SCOPE, "iris")].resource.value


def _is_scope_of(sent: discovery_pb2.Resource, internal: str) -> bool:
    return sent.resource.type_url == SCOPE and internal.encode() in sent.resource.value


async def test_server_status_and_feed(with_iris: Running) -> None:
    meta = pb.KubernetesMeta(namespace="ns", generation=3)
    await with_iris.api.ServerNotify(
        pb.ServerNotifyRequest(
            servers=[pb.ServerNotify(name="mlserver", expectedReplicas=2, maxReplicas=2**32 - 1, kubernetesMeta=meta)]
        )
    )
    feed: Any = with_iris.api.SubscribeServerStatus(pb.ServerSubscriptionRequest(subscriberName="test"))
    status = await feed.read()
    feed.cancel()
    assert status.serverName == "mlserver"
    assert status.expectedReplicas == 2
    assert status.availableReplicas == 1
    assert status.numLoadedModelReplicas == 1
    assert status.kubernetesMeta == meta
    assert status.resources[0].numLoadedModels == 1


async def test_numbers_out_of_range_break_no_status(scheduler: Running) -> None:
    wanted = pb.ServerNotify(name="mlserver", expectedReplicas=2**32 - 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await scheduler.api.ServerNotify(pb.ServerNotifyRequest(servers=[wanted]))
    assert caught.value.code() is INVALID
    assert [status async for status in scheduler.api.ServerStatus(pb.ServerStatusRequest())] == []


def listening_at(host: str) -> agent_pb2.ReplicaConfig:
    return agent_pb2.ReplicaConfig(inferenceSvc=host, inferenceHttpPort=1, inferenceGrpcPort=2)


BAD_AGENTS = {
    "name": (agent_pb2.AgentSubscribeRequest(serverName="a_b"), PRECONDITION, "valid name 'a_b'"),
    "no ports": (agent_pb2.AgentSubscribeRequest(serverName="ml"), INVALID, "invalid port 0: 1 to 65535"),
    "host": (
        agent_pb2.AgentSubscribeRequest(
            serverName="ml",
            replicaConfig=listening_at("no.such.host.invalid"),
        ),
        INVALID,
        "invalid host 'no.such.host.invalid'",
    ),
    "held model": (
        agent_pb2.AgentSubscribeRequest(
            serverName="ml",
            replicaConfig=listening_at("127.0.0.1"),
            loadedModels=[agent_pb2.ModelVersion(version=1)],
        ),
        PRECONDITION,
        "does not have a valid name ''",
    ),
}


async def test_bad_registrations_are_refused_and_leave_nothing(scheduler: Running) -> None:
    for case, (request, code, sentence) in BAD_AGENTS.items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await scheduler.agents.Subscribe(request, wait_for_ready=True).read()
        assert caught.value.code() is code, case
        assert sentence in (caught.value.details() or ""), case
    assert [status async for status in scheduler.api.ServerStatus(pb.ServerStatusRequest())] == []
    async with httpx.AsyncClient() as client:
        metrics = await client.get(f"http://127.0.0.1:{scheduler.settings.health_port}/metrics")
    assert "seldon_scheduler_agents_connected 0.0" in metrics.text


async def test_agent_events_that_fit_nothing_are_refused(with_iris: Running) -> None:
    def event(**fields: Any) -> agent_pb2.ModelEventMessage:
        known: dict[str, Any] = {"serverName": "mlserver", "modelName": "iris", "modelVersion": 1}
        return agent_pb2.ModelEventMessage(**{**known, "event": agent_pb2.ModelEventMessage.LOADED, **fields})

    internal, failed = grpc.StatusCode.INTERNAL, agent_pb2.ModelEventMessage.LOAD_FAILED
    for message, code, sentence in (
        (event(serverName="ghost"), internal, "server ghost replica 0 is not registered"),
        (event(replicaIdx=7), internal, "server mlserver replica 7 is not registered"),
        (event(modelName="ghost", event=failed), internal, "model ghost version 1 is not on mlserver/0"),
        (event(modelVersion=9, event=failed), internal, "model iris version 9 is not on mlserver/0"),
        (event(event=agent_pb2.ModelEventMessage.UNKNOWN_EVENT), INVALID, "invalid event 'UNKNOWN_EVENT'"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await with_iris.agents.AgentEvent(message)
        assert caught.value.code() is code
        assert sentence in (caught.value.details() or "")
    drain = agent_pb2.AgentDrainRequest(serverName="ghost")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await with_iris.agents.AgentDrain(drain)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_agent_says_how_long_it_may_take(scheduler: Running) -> None:
    request = agent_pb2.AgentSubscribeRequest(serverName="ml", replicaConfig=listening_at("127.0.0.1"))
    with pytest.raises(grpc.aio.AioRpcError, match="invalid seldon-load-seconds 'soon': a whole number") as caught:
        await scheduler.agents.Subscribe(request, metadata=(("seldon-load-seconds", "soon"),)).read()
    assert caught.value.code() is INVALID


async def test_what_an_agent_loaded_unasked_is_unloaded(with_iris: Running) -> None:
    second = AgentPeer(with_iris.agent_target, free_port(), free_port(), server="other")
    await with_iris.add_agent(second)
    unasked = agent_pb2.ModelEventMessage(
        serverName="other", modelName="ghost", modelVersion=3, event=agent_pb2.ModelEventMessage.LOADED
    )
    await with_iris.agents.AgentEvent(unasked)
    await with_iris.until("ghost", pb.ModelStatus.ModelTerminated, version=3)
    async with asyncio.timeout(20):
        await second.unloaded.wait()
    assert second.history == [("unload", "ghost_3")]


async def test_drain_answers_when_the_models_answer_elsewhere(with_iris: Running) -> None:
    other = AgentPeer(with_iris.agent_target, free_port(), free_port(), server="other")
    await with_iris.add_agent(other)
    reply = await with_iris.agents.AgentDrain(agent_pb2.AgentDrainRequest(serverName="mlserver"))
    assert reply.success
    assert other.history == [("load", "iris_2")]


async def test_drain_is_a_success_when_no_other_place_can_be_found(with_iris: Running) -> None:
    reply = await with_iris.agents.AgentDrain(agent_pb2.AgentDrainRequest(serverName="mlserver"))
    assert reply.success


async def test_any_index_that_the_wire_carries_is_a_replica(scheduler: Running) -> None:
    """In deployment mode it is a hash of 32 bits."""
    hashed = AgentPeer(scheduler.agent_target, free_port(), free_port(), replica=4_105_453_766)
    await scheduler.add_agent(hashed)
    await scheduler.load(model("iris"))
    status = await scheduler.until("iris", pb.ModelStatus.ModelAvailable)
    (version,) = status.versions
    assert [index % 2**32 for index in version.modelReplicaState] == [hashed.replica]


async def test_a_second_agent_takes_over_a_replica(with_iris: Running) -> None:
    second = AgentPeer(with_iris.agent_target, free_port(), free_port())
    await with_iris.add_agent(second)
    await with_iris.load(model("wine"))
    await with_iris.until("wine", pb.ModelStatus.ModelAvailable)
    assert sorted(second.history) == [("load", "iris_1"), ("load", "wine_1")]


async def test_control_plane_feed_asks_for_servers_first(scheduler: Running) -> None:
    feed: Any = scheduler.api.SubscribeControlPlane(pb.ControlPlaneSubscriptionRequest(subscriberName="test"))
    events = [pb.ControlPlaneResponse.Event.Name((await feed.read()).event) for _ in range(4)]
    assert events == ["SEND_SERVERS", "SEND_EXPERIMENTS", "SEND_MODELS", "SEND_PIPELINES"]
    feed.cancel()


async def test_what_is_not_served_yet_says_so(scheduler: Running) -> None:
    api = scheduler.api
    unary = (
        api.StartExperiment(pb.StartExperimentRequest()),
        api.StopExperiment(pb.StopExperimentRequest()),
    )
    streams = (
        api.ExperimentStatus(pb.ExperimentStatusRequest()),
        api.SubscribeExperimentStatus(pb.ExperimentSubscriptionRequest()),
    )
    for call in (*unary, *streams):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if isinstance(call, grpc.aio.UnaryUnaryCall) else call.read())
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "not served by this scheduler yet" in (caught.value.details() or "")


async def test_health_and_reflection_on_each_port(scheduler: Running) -> None:
    for port, service in (
        (scheduler.settings.scheduler_port, "seldon.mlops.scheduler.Scheduler"),
        (scheduler.settings.agent_port, "seldon.mlops.agent.AgentService"),
    ):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            own = await own_health_pb2_grpc.HealthCheckServiceStub(channel).HealthCheck(
                own_health_pb2.HealthCheckRequest()
            )
            assert own.ok
            standard = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
            assert standard.status == health_pb2.HealthCheckResponse.SERVING
            listing = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            )
            names = {entry.name for entry in (await listing.read()).list_services_response.service}
            listing.cancel()
            assert service in names


async def test_state_survives_a_restart_and_agents_are_told_nothing_twice(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        await first.add_envoy()
        agent = await first.add_agent()
        await first.load(model("iris"))
        await first.until("iris", pb.ModelStatus.ModelAvailable)
    async with running(tmp_path) as second:
        client = asyncio.create_task(second.add_envoy())
        agent.scheduler = second.agent_target
        await second.add_agent(agent)
        await second.until("iris", pb.ModelStatus.ModelAvailable)
        await client
    assert agent.history == [("load", "iris_1")]
