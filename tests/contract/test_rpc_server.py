"""A server of ours answers the standard health and reflection services and gives errors their own status."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from mlops.scheduler import scheduler_pb2, scheduler_pb2_grpc

from shared import rpc
from shared.errors import NotFound, RejectedRequest

SCHEDULER = scheduler_pb2.DESCRIPTOR.services_by_name["Scheduler"].full_name


class Refusing(scheduler_pb2_grpc.SchedulerServicer):
    """Two methods that fail as services do: with a typed error, before and in the middle of a stream."""

    async def LoadModel(
        self, request: scheduler_pb2.LoadModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> scheduler_pb2.LoadModelResponse:
        raise RejectedRequest(f"no room for {request.model.meta.name}")

    async def ModelStatus(
        self, request: scheduler_pb2.ModelStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[scheduler_pb2.ModelStatusResponse]:
        yield scheduler_pb2.ModelStatusResponse(modelName="iris")
        raise NotFound("no further models")

    async def UnloadModel(
        self, request: scheduler_pb2.UnloadModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> scheduler_pb2.UnloadModelResponse:
        raise ZeroDivisionError("a mistake of ours")


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = rpc.server([SCHEDULER])
    scheduler_pb2_grpc.add_SchedulerServicer_to_server(Refusing(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with rpc.channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await server.stop(grace=None)


async def test_reflection_lists_and_describes_the_services(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SCHEDULER),
    ]
    listed, described = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]

    names = {service.name for service in listed.list_services_response.service}
    assert names == {SCHEDULER, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert scheduler_pb2.DESCRIPTOR.serialized_pb in described.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize("service", ["", SCHEDULER])
async def test_health_check_and_watch_answer_serving(channel: grpc.aio.Channel, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    checked = await stub.Check(request)
    assert checked.status == health_pb2.HealthCheckResponse.SERVING

    watch = stub.Watch(request)
    seen = await anext(aiter(watch))
    watch.cancel()
    assert seen.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_an_unknown_service_is_not_found(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_typed_error_becomes_its_status(channel: grpc.aio.Channel) -> None:
    request = scheduler_pb2.LoadModelRequest()
    request.model.meta.name = "iris"
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await scheduler_pb2_grpc.SchedulerStub(channel).LoadModel(request)
    assert failure.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.value.details() == "no room for iris"


async def test_a_stream_keeps_what_was_sent_before_the_error(channel: grpc.aio.Channel) -> None:
    answers = aiter(scheduler_pb2_grpc.SchedulerStub(channel).ModelStatus(scheduler_pb2.ModelStatusRequest()))
    assert (await anext(answers)).modelName == "iris"
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await anext(answers)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_unforeseen_error_is_internal_and_names_the_method(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await scheduler_pb2_grpc.SchedulerStub(channel).UnloadModel(scheduler_pb2.UnloadModelRequest())
    assert failure.value.code() is grpc.StatusCode.INTERNAL
    assert f"/{SCHEDULER}/UnloadModel" in (failure.value.details() or "")


async def test_a_method_without_behaviour_is_unimplemented(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await scheduler_pb2_grpc.SchedulerStub(channel).StopExperiment(scheduler_pb2.StopExperimentRequest())
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED
