"""Calls to the scheduler's gRPC API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar

import grpc
from google.protobuf.message import Message
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler.scheduler_pb2_grpc import SchedulerStub

from services.cli.config_file import Tls
from services.cli.failures import CommandFailed, unreachable_hint
from services.cli.grpc_channel import open_channel, sentence

_SUBSCRIBER: Final = "seldon CLI"
_CALL_SECONDS: Final = 30.0

Status = TypeVar("Status", bound=Message)


class SchedulerClient:
    """One connection, as a context manager. Every method raises CommandFailed with the scheduler's own sentence.

    `on_request` sees each request before it is sent.
    """

    def __init__(
        self,
        host: str,
        authority: str = "",
        tls: Tls | None = None,
        on_request: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self._host = host
        self._channel = open_channel(host, authority, tls)
        self._stub = SchedulerStub(self._channel)
        self._on_request = on_request

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def load(self, resource: pb.Model | pb.Pipeline | pb.Experiment) -> Message:
        if isinstance(resource, pb.Model):
            return self._unary(self._stub.LoadModel, pb.LoadModelRequest(model=resource))
        if isinstance(resource, pb.Pipeline):
            return self._unary(self._stub.LoadPipeline, pb.LoadPipelineRequest(pipeline=resource))
        return self._unary(self._stub.StartExperiment, pb.StartExperimentRequest(experiment=resource))

    def unload(self, kind: str, name: str) -> Message:
        if kind == "Model":
            return self._unary(self._stub.UnloadModel, pb.UnloadModelRequest(model=pb.ModelReference(name=name)))
        if kind == "Pipeline":
            return self._unary(self._stub.UnloadPipeline, pb.UnloadPipelineRequest(name=name))
        return self._unary(self._stub.StopExperiment, pb.StopExperimentRequest(name=name))

    def model_status(self, name: str) -> pb.ModelStatusResponse:
        request = pb.ModelStatusRequest(subscriberName=_SUBSCRIBER, model=pb.ModelReference(name=name))
        return self._first(self._stub.ModelStatus, request, pb.ModelStatusResponse)

    def model_statuses(self) -> list[pb.ModelStatusResponse]:
        return list(self._stream(self._stub.ModelStatus, pb.ModelStatusRequest(subscriberName=_SUBSCRIBER)))

    def server_status(self, name: str) -> pb.ServerStatusResponse:
        request = pb.ServerStatusRequest(subscriberName=_SUBSCRIBER, name=name)
        return self._first(self._stub.ServerStatus, request, pb.ServerStatusResponse)

    def server_statuses(self) -> list[pb.ServerStatusResponse]:
        return list(self._stream(self._stub.ServerStatus, pb.ServerStatusRequest(subscriberName=_SUBSCRIBER)))

    def pipeline_status(self, name: str) -> pb.PipelineStatusResponse:
        request = pb.PipelineStatusRequest(subscriberName=_SUBSCRIBER, name=name)
        return self._first(self._stub.PipelineStatus, request, pb.PipelineStatusResponse)

    def pipeline_statuses(self) -> list[pb.PipelineStatusResponse]:
        return list(self._stream(self._stub.PipelineStatus, pb.PipelineStatusRequest(subscriberName=_SUBSCRIBER)))

    def experiment_status(self, name: str) -> pb.ExperimentStatusResponse:
        request = pb.ExperimentStatusRequest(subscriberName=_SUBSCRIBER, name=name)
        return self._first(self._stub.ExperimentStatus, request, pb.ExperimentStatusResponse)

    def _unary(self, call: Any, request: Message) -> Message:
        self._on_request(request)
        with self._failures():
            answer: Message = call(request, timeout=_CALL_SECONDS)
            return answer

    def _stream(self, call: Any, request: Message) -> Iterator[Any]:
        self._on_request(request)
        with self._failures():
            yield from call(request, timeout=_CALL_SECONDS)

    def _first(self, call: Any, request: Message, kind: type[Status]) -> Status:
        for answer in self._stream(call, request):
            if isinstance(answer, kind):
                return answer
        raise CommandFailed(f"the scheduler ended the stream without a {kind.DESCRIPTOR.name}")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            hint = ""
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                hint = unreachable_hint("scheduler", self._host, "--scheduler-host", "SELDON_SCHEDULE_HOST")
            raise CommandFailed(sentence(error), hint) from None
