"""The gateway among its neighbours: scheduler, Envoy, broker, other gateways, and callers that go away."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from aiohttp import web
from aiokafka.errors import CorruptRecordException
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from shared.errors import Unavailable
from shared.kafka.config import load_config
from tests.peers.broker import Broker, kind_for_tests, running
from tests.peers.ports import free_port
from tests.pipelinegateway.conftest import Gateway, World, gateway_at, write_config
from tests.pipelinegateway.engine import Engine, Out, answer_of, echo, failing, silent
from tests.pipelinegateway.scheduler import DELETE, Scheduler, pipeline
from tests.pipelinegateway.test_calls import BODY, failure, request


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - states of other parts, which announce them to nobody
            await asyncio.sleep(0.005)


async def test_subscription_and_reports(world: World) -> None:
    second = await world.scheduler.load("one", pipeline(world.name, version=2))
    assert (second.success, second.reason) == (True, f"Pipeline {world.name} loaded")
    update = second.update
    assert (update.pipeline, update.version, update.uid) == (world.name, 2, f"{world.name}-2")
    assert (update.stream, update.timestamp) == ("one", 2)
    # The older version's removal leaves the newer one alone.
    assert (await world.scheduler.unload("one", pipeline(world.name, version=1))).success
    assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 200
    gone = await world.scheduler.unload("one", pipeline(world.name, version=2))
    assert gone.reason == f"Pipeline {world.name} deleted"
    assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 404
    again = await world.scheduler.unload("one", pipeline(world.name, version=2))
    assert (again.success, again.reason) == (True, f"No existing pipeline {world.name} to delete")
    assert not world.gateway.process._kafka.reader.partitions


async def test_what_it_tells_the_scheduler(config_path: Any) -> None:
    async with Scheduler().serving() as scheduler, gateway_at(config_path, scheduler, "two") as gateway:
        subscription, metadata = await scheduler.subscriptions.get()
        assert subscription.isPipelineGateway
        assert (subscription.subscriberName, subscription.subscriberIp) == ("two", "127.0.0.1")
        assert metadata["seldon-pipelinegateway-http-port"] == str(gateway.settings.http_port)
        assert metadata["seldon-pipelinegateway-grpc-port"] == str(gateway.settings.grpc_port)


async def test_a_removed_pipeline_answers_those_who_wait_first(world: World) -> None:
    world.behave(silent)
    asking = asyncio.create_task(world.gateway.rest.post(world.path, json=BODY))
    record = await world.engine.seen.get()
    world.scheduler.send("one", DELETE, pipeline(world.name))
    unknown = 0
    while unknown != 404:
        short = {"x-seldon-timeout-ms": "20"}
        unknown = (await world.gateway.rest.post(world.path, json=BODY, headers=short)).status_code
    assert world.scheduler.reports.empty()
    await world.engine.write(Out(answer_of(record.value or b""), key=record.key), record.partition)
    assert (await asking).status_code == 200
    assert (await world.scheduler.reports.get()).success


async def test_the_scheduler_may_be_away(world: World) -> None:
    async with contextlib.AsyncExitStack() as stack:
        away = Scheduler()
        away.port = free_port()
        other = await stack.enter_async_context(gateway_at(world.config_path, away, "three"))
        await until(lambda: "next attempt" in other.process.readiness.waiting_for.get("scheduler", ""))
        await stack.enter_async_context(away.serving(away.port))
        await away.subscriptions.get()
        assert (await away.load("three", pipeline(world.name))).success
        assert (await other.rest.post(world.path, json=BODY)).status_code == 200


async def test_a_pipeline_without_output_takes_requests(world: World) -> None:
    name = f"{world.name}x"
    topics = world.config.topics
    await world.scheduler.load("one", pipeline(name, output=False))
    async with Engine(world.config, topics.pipeline_inputs(name), topics.pipeline_outputs(name), silent).running() as e:
        response = await world.gateway.rest.post(
            f"/v2/pipelines/{name}/infer", json=BODY, headers={"x-request-id": "theirs"}
        )
        assert response.status_code == 202
        record = await e.seen.get()
        key = (record.key or b"").decode()
        assert response.json() == {"accepted": True, "id": "theirs", "key": key}
        assert (response.headers["x-seldon-request-key"], response.headers["x-request-id"]) == (key, "theirs")
        # Nobody waits for it, so that it may take its time.
        assert "seldon-deadline-ms" not in dict(record.headers)
        call = world.gateway.inference.ModelInfer(request(1), metadata=[("seldon-model", f"{name}.pipeline")])
        assert await call == oip.ModelInferResponse()
        assert (await call.initial_metadata())["x-seldon-request-key"].encode() == (await e.seen.get()).key


async def test_two_gateways_on_one_pipeline(world: World) -> None:
    async with Scheduler().serving() as scheduler, gateway_at(world.config_path, scheduler, "two") as other:
        await scheduler.subscriptions.get()
        assert (await scheduler.load("two", pipeline(world.name))).success

        async def ask(number: int) -> int:
            inference = (world.gateway if number % 2 else other).inference
            answer = await inference.ModelInfer(request(number), metadata=world.metadata)
            return int(answer.outputs[0].contents.int_contents[0])

        assert await asyncio.gather(*(ask(number) for number in range(60))) == list(range(60))
        late = "seldon_pipelinegateway_late_answers_total"
        assert world.gateway.metric(late) == other.metric(late) == 0


async def test_a_thousand_callers_that_go_away_leave_nothing(world: World) -> None:
    world.behave(silent)
    body = b'{"inputs":[{"name":"A","datatype":"INT32","shape":[1],"data":[1]}]}'
    head = f"POST {world.path} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    async def rest() -> asyncio.StreamWriter:
        _, writer = await asyncio.open_connection("127.0.0.1", world.gateway.settings.http_port)
        writer.write(head + body)
        await writer.drain()
        return writer

    for _ in range(10):
        writers = await asyncio.gather(*(rest() for _ in range(50)))
        calls = [world.gateway.inference.ModelInfer(request(1), metadata=world.metadata) for _ in range(50)]
        for _ in range(100):
            await world.engine.seen.get()
        assert len(world.gateway.process.waiting) == 100
        for writer in writers:
            writer.close()
        for call in calls:
            call.cancel()
    await until(lambda: not len(world.gateway.process.waiting))
    world.behave(echo)
    assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 200
    counted = "seldon_pipeline_infer_total"
    assert world.gateway.metric(counted, pipeline=world.name, method_type="rest", code="499") == 500
    assert world.gateway.metric(counted, pipeline=world.name, method_type="grpc", code="Canceled") == 500
    assert world.gateway.metric("seldon_pipelinegateway_in_flight") == 0


async def test_full(world: World) -> None:
    async with (
        Scheduler().serving() as scheduler,
        gateway_at(world.config_path, scheduler, "two", max_in_flight=1, timeout_ms=3000) as small,
    ):
        await scheduler.subscriptions.get()
        await scheduler.load("two", pipeline(world.name))
        world.behave(silent)
        asking = asyncio.create_task(small.rest.post(world.path, json=BODY))
        await world.engine.seen.get()
        full = await small.rest.post(world.path, json=BODY)
        assert (full.status_code, "in flight" in full.json()["error"]) == (503, True)
        assert full.headers["retry-after"] == "1"
        failed = await failure(small.inference.ModelInfer(request(1), metadata=world.metadata))
        assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(failed.trailing_metadata())["retry-after"] == "1"
        assert small.metric("seldon_pipelinegateway_refused_total") == 2
        assert (await asking).status_code == 504


async def test_a_full_gateway_refuses_before_it_reads_a_body(world: World) -> None:
    size = 1000
    async with (
        Scheduler().serving() as scheduler,
        gateway_at(world.config_path, scheduler, "two", max_in_flight_bytes=size) as small,
    ):
        await scheduler.subscriptions.get()
        await scheduler.load("two", pipeline(world.name))
        world.behave(silent)
        # Larger than the bound, and alone.
        large = {**BODY, "parameters": {"note": "n" * size}}
        asking = asyncio.create_task(small.rest.post(world.path, json=large))
        waiting = await world.engine.seen.get()
        assert small.metric("seldon_pipelinegateway_in_flight_bytes") > size
        # The body is announced and never sent: an answer comes all the same.
        reader, writer = await asyncio.open_connection("127.0.0.1", small.settings.http_port)
        writer.write(f"POST {world.path} HTTP/1.1\r\nhost: a\r\ncontent-length: 500\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert b" 503 " in head
        assert b"retry-after: 1" in head
        silent_call: Any = small.channel.stream_unary(
            "/inference.GRPCInferenceService/ModelInfer", request_serializer=lambda message: message
        )(metadata=world.metadata)
        refused = await failure(silent_call)
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "bytes" in (refused.details() or "")
        world.behave(echo)
        await world.engine.write(Out(answer_of(waiting.value or b""), key=waiting.key), waiting.partition)
        assert (await asking).status_code == 200
        assert small.metric("seldon_pipelinegateway_in_flight_bytes") == 0
        assert (await small.rest.post(world.path, json=BODY)).status_code == 200


async def test_what_kafka_refuses_once_fails_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.behave(silent)
    asking = asyncio.create_task(world.gateway.rest.post(world.path, json=BODY))
    waiting = await world.engine.seen.get()
    process = world.gateway.process
    polled, told = process._kafka.reader.poll, asyncio.Event()

    async def refused_once() -> Any:
        monkeypatch.setattr(process._kafka.reader, "poll", polled)
        told.set()
        raise CorruptRecordException("the checksum is wrong")

    monkeypatch.setattr(process._kafka.reader, "poll", refused_once)
    await told.wait()
    await until(lambda: "answers are not read" in process.readiness.waiting_for.get("kafka", ""))
    await world.engine.write(Out(answer_of(waiting.value or b""), key=waiting.key), waiting.partition)
    assert (await asking).status_code == 200
    await until(lambda: process.readiness.ready)


async def test_stopping_answers_those_in_flight(world: World) -> None:
    world.behave(silent)
    asking = asyncio.create_task(world.gateway.rest.post(world.path, json=BODY))
    calling = asyncio.ensure_future(world.gateway.inference.ModelInfer(request(1), metadata=world.metadata))
    records = [await world.engine.seen.get(), await world.engine.seen.get()]
    world.gateway.stopping.set()
    await until(lambda: bool(world.gateway.process.readiness.waiting_for))
    for record in records:
        await world.engine.write(Out(answer_of(record.value or b""), key=record.key), record.partition)
    assert (await asking).status_code == 200
    assert (await calling).outputs[0].name == "A"
    await world.gateway.task
    with pytest.raises(httpx.TransportError):
        await world.gateway.rest.post(world.path, json=BODY)


async def test_a_broker_that_pauses(broker: Broker, world: World) -> None:
    process = broker._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        headers = {"x-seldon-timeout-ms": "200"}
        away = await world.gateway.rest.post(world.path, json=BODY, headers=headers)
        assert (away.status_code, "Kafka" in away.json()["error"]) == (503, True)
        call = world.gateway.inference.ModelInfer(
            request(1), metadata=[*world.metadata, ("x-seldon-timeout-ms", "200")]
        )
        assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE
    finally:
        process.send_signal(signal.SIGCONT)
    assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 200


async def test_no_broker_yet(tmp_path: Path) -> None:
    own = Broker(kind_for_tests(), tmp_path)
    config_path = write_config(own, tmp_path / "kafka.json")
    async with Scheduler().serving() as scheduler, gateway_at(config_path, scheduler, "late") as gateway:
        await until(lambda: "no broker" in gateway.process.readiness.waiting_for.get("kafka", ""))
        response = await gateway.rest.post("/v2/pipelines/any/infer", json=BODY)
        assert (response.status_code, "kafka" in response.json()["error"]) == (503, True)
        assert (await gateway.rest.get("/v2/health/ready")).status_code == 503
        assert (await gateway.rest.get("/ready")).status_code == 200
        try:
            await asyncio.to_thread(own.start)
            await scheduler.subscriptions.get()
            assert (await scheduler.load("late", pipeline("any"))).success
            await until(lambda: gateway.process.readiness.ready)
        finally:
            gateway.stopping.set()
            await gateway.task
            own.kill()


@contextlib.asynccontextmanager
async def envoy(ready: set[str]) -> Any:
    """Stands for Envoy with its models behind it."""

    async def answer(asked: web.Request) -> web.Response:
        model = asked.headers["seldon-model"]
        if model not in ready:
            return web.Response(status=404)
        tensor = {"name": "A", "datatype": "INT32", "shape": [-1]}
        return web.json_response({"name": model, "inputs": [tensor], "outputs": [tensor]})

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def asked(gateway: Gateway, name: str, **headers: str) -> httpx.Response:
    return await gateway.rest.post(f"/v2/pipelines/{name}/infer", json=BODY, headers=headers)


async def test_a_step_that_is_not_there_is_named_at_once(name: str, config_path: Path) -> None:
    """Nobody writes answers: a call that waited for one would end at its deadline."""
    ready = {f"{name}-a"}
    async with (
        envoy(ready) as port,
        Scheduler().serving() as scheduler,
        gateway_at(config_path, scheduler, "one", envoy_port=port, timeout_ms=40_000) as gateway,
    ):
        await scheduler.subscriptions.get()
        await until(lambda: bool(scheduler.model_feeds))
        made = pipeline(name, steps=(f"{name}-a", f"{name}-b"))
        await scheduler.load("one", made, steps_serve=False)
        scheduler.tell_model(f"{name}-a", "ModelAvailable")
        for state, reason, said in (
            ("ModelFailed", "no such file", "is in state ModelFailed: no such file"),
            ("ScheduleFailed", "no server", "is in state ScheduleFailed: no server"),
            ("ModelTerminated", "", "is not loaded"),
        ):
            scheduler.tell_model(f"{name}-b", state, reason)
            await until(lambda said=said: gateway.process._states.reason(f"{name}-b") == said)  # type: ignore[misc]
            response = await asked(gateway, name)
            assert response.status_code == 503
            assert response.json()["error"] == f"pipeline {name} cannot answer: step {name}-b {said}"
        call = gateway.inference.ModelInfer(request(1), metadata=[("seldon-model", f"{name}.pipeline")])
        failed = await failure(call)
        assert failed.code() is grpc.StatusCode.UNAVAILABLE
        assert f"step {name}-b is not loaded" in (failed.details() or "")
        # A model that nobody has ever spoken of is not there either, once all has been told.
        unknown = pipeline(f"{name}-other", steps=(f"{name}-c",))
        await scheduler.load("one", unknown, steps_serve=False)
        await until(lambda: bool(gateway.process._steps.in_doubt([f"{name}-c"])))
        response = await asked(gateway, f"{name}-other")
        assert (response.status_code, f"step {name}-c is not loaded" in response.json()["error"]) == (503, True)


async def test_a_step_that_is_on_its_way_is_waited_for(name: str, config_path: Path) -> None:
    ready: set[str] = set()
    config = load_config(config_path, "", {})
    engine = Engine(config, config.topics.pipeline_inputs(name), config.topics.pipeline_outputs(name))
    async with (
        envoy(ready) as port,
        Scheduler().serving() as scheduler,
        engine.running(),
        gateway_at(config_path, scheduler, "one", envoy_port=port, timeout_ms=40_000) as gateway,
    ):
        await scheduler.subscriptions.get()
        await until(lambda: bool(scheduler.model_feeds))
        await scheduler.load("one", pipeline(name, steps=(f"{name}-a",)), steps_serve=False)
        in_doubt = gateway.process._steps.in_doubt

        async def tell(state: str) -> None:
            scheduler.tell_model(f"{name}-a", state)
            await until(lambda: bool(in_doubt([f"{name}-a"])) is (state != "ModelAvailable"))

        await tell("ModelProgressing")
        late = await asked(gateway, name, **{"x-seldon-timeout-ms": "300"})
        assert (late.status_code, f"step {name}-a is in state ModelProgressing" in late.json()["error"]) == (504, True)
        waiting = [asyncio.create_task(asked(gateway, name)) for _ in range(3)]
        await until(lambda: gateway.process._gateway.admission.requests == 3)
        assert engine.seen.empty()
        await tell("ModelAvailable")
        assert [(await each).status_code for each in waiting] == [200] * 3
        # On its way, and then not any more.
        await tell("ModelProgressing")
        failing_now = asyncio.create_task(asked(gateway, name))
        await until(lambda: gateway.process._gateway.admission.requests == 1)
        scheduler.tell_model(f"{name}-a", "ModelFailed", "no such file")
        response = await failing_now
        assert (response.status_code, "no such file" in response.json()["error"]) == (503, True)
        # The version before may go on serving, which Envoy knows.
        ready.add(f"{name}-a")
        gateway.process._steps._looked.clear()
        assert (await asked(gateway, name)).status_code == 200


async def test_readiness_and_metadata(name: str, config_path: Any) -> None:
    ready = {"a", "b"}
    async with (
        envoy(ready) as port,
        Scheduler().serving() as scheduler,
        gateway_at(config_path, scheduler, "one", envoy_port=port) as gateway,
    ):
        await scheduler.subscriptions.get()
        await scheduler.load("one", pipeline(name, steps=("a", "b")))
        path = f"/v2/pipelines/{name}"
        assert (await gateway.rest.get(f"{path}/ready")).status_code == 200
        metadata = (await gateway.rest.get(path)).json()
        assert (metadata["name"], metadata["versions"], metadata["platform"]) == (name, ["1"], "seldon-pipeline")
        assert metadata["inputs"] == metadata["outputs"] == [{"name": "A", "datatype": "INT32", "shape": [-1]}]
        message = await gateway.inference.ModelMetadata(oip.ModelMetadataRequest(name=name))
        assert (message.platform, list(message.inputs[0].shape)) == ("seldon-pipeline", [-1])
        assert (await gateway.inference.ModelReady(oip.ModelReadyRequest(name=name))).ready
        ready.discard("b")
        partly = await gateway.rest.get(f"/v2/models/{name}/ready", headers={"seldon-model": f"{name}.pipeline"})
        assert partly.status_code == 424
        assert partly.json()["error"].endswith("b")
        assert not (await gateway.inference.ModelReady(oip.ModelReadyRequest(name=name))).ready
        assert (await gateway.rest.get("/v2/pipelines/nobody/ready")).status_code == 404
        failed = await failure(gateway.inference.ModelReady(oip.ModelReadyRequest(name="nobody")))
        assert failed.code() is grpc.StatusCode.NOT_FOUND


async def test_the_server_itself(world: World) -> None:
    rest = world.gateway.rest
    for path in ("/v2/health/live", "/v2/health/ready", "/ready"):
        assert (await rest.get(path)).status_code == 200
    assert (await rest.get("/v2")).json()["name"] == "seldon-pipeline-gateway"
    for method, path in (("GET", "/nothing"), ("POST", "/v2/health/live"), ("GET", world.path)):
        response = await rest.request(method, path)
        assert (response.status_code, list(response.json())) == (404, ["error"])
    inference = world.gateway.inference
    assert (await inference.ServerLive(oip.ServerLiveRequest())).live
    assert (await inference.ServerReady(oip.ServerReadyRequest())).ready
    assert (await inference.ServerMetadata(oip.ServerMetadataRequest())).name == "seldon-pipeline-gateway"
    probes = f"http://127.0.0.1:{world.gateway.settings.metrics_port}"
    assert (await rest.get(f"{probes}/ready")).status_code == 200


async def test_a_model_by_its_own_topics(world: World) -> None:
    topics = world.config.topics
    model = f"{world.name}-model"
    path = f"/v2/models/{model}/infer"
    missing = await world.gateway.rest.post(path, json=BODY)
    assert (missing.status_code, "no topics" in missing.json()["error"]) == (404, True)
    engine = Engine(world.config, topics.model_inputs(f"{model}2"), topics.model_outputs(f"{model}2"))
    world.scheduler.tell_model(f"{model}2", "ModelAvailable")
    async with engine.running():
        path = f"/v2/models/{model}2/infer"
        response = await world.gateway.rest.post(path, json=BODY)
        assert response.status_code == 200, response.text
        assert dict((await engine.seen.get()).headers)["pipeline"] == f"{model}2".encode()
        fail = failing(f"{model}2", "rpc error")

        def to_errors(record: Any) -> list[Out]:
            return [Out(out.value, out.headers, topic=topics.errors) for out in fail(record)]

        engine.behaviour = to_errors
        failed = await world.gateway.rest.post(path, json=BODY)
        assert (failed.status_code, failed.json()["error"]) == (400, f"{model}2 : rpc error")


async def test_stopping_while_the_broker_is_away(name: str, tmp_path: Path) -> None:
    with running(kind_for_tests()) as own:
        config_path = write_config(own, tmp_path / "kafka.json")
        async with Scheduler().serving() as scheduler, gateway_at(config_path, scheduler, "one") as gateway:
            await scheduler.subscriptions.get()
            await scheduler.load("one", pipeline(name))
            own.kill()
            short = {"x-seldon-timeout-ms": "200"}
            path = f"/v2/pipelines/{name}/infer"
            assert (await gateway.rest.post(path, json=BODY, headers=short)).status_code == 503
            gateway.stopping.set()
            await gateway.task


async def test_a_broker_that_comes_back(name: str, tmp_path: Path) -> None:
    with running(kind_for_tests()) as own:
        config_path = write_config(own, tmp_path / "kafka.json")
        config = load_config(config_path, "", {})
        topics = config.topics
        engine = Engine(config, topics.pipeline_inputs(name), topics.pipeline_outputs(name))
        path = f"/v2/pipelines/{name}/infer"
        empty = pytest.raises(Unavailable, match="gone")
        async with Scheduler().serving() as scheduler:
            # A broker that keeps nothing comes back without what was written: then the process has to start anew.
            with empty if own.kind == "tansu" else contextlib.nullcontext():
                async with gateway_at(config_path, scheduler, "one") as gateway:
                    await scheduler.subscriptions.get()
                    await scheduler.load("one", pipeline(name))
                    async with engine.running():
                        assert (await gateway.rest.post(path, json=BODY)).status_code == 200
                    own.kill()
                    short = {"x-seldon-timeout-ms": "200"}
                    assert (await gateway.rest.post(path, json=BODY, headers=short)).status_code == 503
                    await asyncio.to_thread(own.start)
                    if own.kind == "tansu":
                        await asyncio.wait((gateway.task,))
                    else:
                        async with engine.running():
                            assert (await gateway.rest.post(path, json=BODY)).status_code == 200
