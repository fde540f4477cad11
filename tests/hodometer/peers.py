"""A scheduler that tells what the test wants, receivers with scripted answers, and a wait that takes no time."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from fastapi import FastAPI, Request, Response
from google.protobuf.message import Message
from mlops.scheduler import scheduler_pb2 as pb

from services.hodometer_receiver.core.record import Record, RecordLevel
from services.hodometer_receiver.http_api import http_app
from shared.http_server import HttpServer
from shared.probes import Readiness
from tests.peers.ports import free_port

HOST = "127.0.0.1"
Versions = pb.PipelineVersionState
ACCEPTED = b'{"status":1,"error":""}'


def pipeline(name: str, *states: "pb.PipelineVersionState.PipelineStatus.ValueType") -> pb.PipelineStatusResponse:
    return pb.PipelineStatusResponse(
        pipelineName=name, versions=[pb.PipelineWithState(state=Versions(status=state)) for state in states]
    )


def replica(*, memory: int = 0, over_commit: int = 0, loaded: int = 0) -> pb.ServerReplicaResources:
    return pb.ServerReplicaResources(totalMemoryBytes=memory, overCommitPercentage=over_commit, numLoadedModels=loaded)


def server(expected: int, available: int, *replicas: pb.ServerReplicaResources) -> pb.ServerStatusResponse:
    return pb.ServerStatusResponse(
        serverName="mlserver", expectedReplicas=expected, availableReplicas=available, resources=replicas
    )


@dataclass
class SchedulerPeer:
    """Answers five status calls and no others. `failures`: method to the statuses that its next calls end with."""

    version: str = "2.10.0"
    models: Sequence[pb.ModelStatusResponse] = ()
    pipelines: Sequence[pb.PipelineStatusResponse] = ()
    experiments: Sequence[pb.ExperimentStatusResponse] = ()
    servers: Sequence[pb.ServerStatusResponse] = ()
    failures: dict[str, list[grpc.StatusCode]] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    """Every method that was called, served here or not."""

    def handler(self) -> grpc.GenericRpcHandler:
        streams: dict[str, tuple[Any, Any]] = {
            "ModelStatus": (self.ModelStatus, pb.ModelStatusRequest),
            "PipelineStatus": (self.PipelineStatus, pb.PipelineStatusRequest),
            "ExperimentStatus": (self.ExperimentStatus, pb.ExperimentStatusRequest),
            "ServerStatus": (self.ServerStatus, pb.ServerStatusRequest),
        }
        methods: dict[str, Any] = {
            name: grpc.unary_stream_rpc_method_handler(answer, request.FromString, _serialized)
            for name, (answer, request) in streams.items()
        }
        methods["SchedulerStatus"] = grpc.unary_unary_rpc_method_handler(
            self.SchedulerStatus, pb.SchedulerStatusRequest.FromString, _serialized
        )
        return grpc.method_handlers_generic_handler("seldon.mlops.scheduler.Scheduler", methods)

    async def SchedulerStatus(self, request: Any, context: Any) -> pb.SchedulerStatusResponse:
        await self._arrived("SchedulerStatus", request, context)
        return pb.SchedulerStatusResponse(applicationVersion=self.version)

    async def ModelStatus(self, request: Any, context: Any) -> AsyncIterator[pb.ModelStatusResponse]:
        for message in self.models:
            yield message
        # At the end of the stream, so that a failure comes after some answers.
        await self._arrived("ModelStatus", request, context)

    async def PipelineStatus(self, request: Any, context: Any) -> AsyncIterator[pb.PipelineStatusResponse]:
        await self._arrived("PipelineStatus", request, context)
        for message in self.pipelines:
            yield message

    async def ExperimentStatus(self, request: Any, context: Any) -> AsyncIterator[pb.ExperimentStatusResponse]:
        await self._arrived("ExperimentStatus", request, context)
        for message in self.experiments:
            yield message

    async def ServerStatus(self, request: Any, context: Any) -> AsyncIterator[pb.ServerStatusResponse]:
        await self._arrived("ServerStatus", request, context)
        for message in self.servers:
            yield message

    async def _arrived(self, method: str, request: Any, context: Any) -> None:
        self.requests.append((method, request))
        if self.failures.get(method):
            await context.abort(self.failures[method].pop(0), "as the test wants it")


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


class _Recorder(grpc.aio.ServerInterceptor):
    def __init__(self, methods: list[str]) -> None:
        self._methods = methods

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        self._methods.append(handler_call_details.method)
        return await continuation(handler_call_details)


@contextlib.asynccontextmanager
async def scheduler_on_port(peer: SchedulerPeer, pem: Path | None = None) -> AsyncIterator[int]:
    """Serve `peer`; with `pem` (a folder with key.pem and crt.pem) only for clients that show the same certificate."""
    made = grpc.aio.server(interceptors=[_Recorder(peer.methods)])
    made.add_generic_rpc_handlers((peer.handler(),))
    if pem is None:
        port = made.add_insecure_port(f"{HOST}:0")
    else:
        key, certificate = (pem / "key.pem").read_bytes(), (pem / "crt.pem").read_bytes()
        credentials = grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=True)
        port = made.add_secure_port(f"{HOST}:0", credentials)
    await made.start()
    try:
        yield port
    finally:
        await made.stop(None)


@dataclass
class ScriptedReceiver:
    """Answers with `statuses` one after the other and then accepts; `answer` is what an accepted call is told."""

    statuses: list[int] = field(default_factory=list)
    answer: bytes = ACCEPTED
    requests: list[Request] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of all requests, refused ones too."""
        return [json.loads(base64.b64decode(request.query_params["data"])) for request in self.requests]

    @contextlib.asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        app, port = FastAPI(), free_port()

        @app.api_route("/{path:path}", methods=["GET", "POST", "PUT"])
        async def answer(request: Request) -> Response:
            self.requests.append(request)
            return Response(self.answer, status_code=self.statuses.pop(0) if self.statuses else 200)

        async with HttpServer(app, HOST, port):
            yield f"http://{HOST}:{port}"


@contextlib.asynccontextmanager
async def receiver_url(level: RecordLevel = RecordLevel.ALL) -> AsyncIterator[str]:
    """The project's own receiver."""
    readiness, port = Readiness(["port"]), free_port()
    async with HttpServer(http_app(Record(level), readiness), HOST, port):
        readiness.satisfied("port")
        yield f"http://{HOST}:{port}"


@dataclass
class Waits:
    """Stands in for time that passes: notes the seconds asked for and returns at once."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def environment(scheduler_port: int, *urls: str, **others: str) -> dict[str, str]:
    """Variables of a collector that asks the scheduler there and publishes to `urls`."""
    named = {"PUBLISH_URL": urls[0], "EXTRA_PUBLISH_URLS": ",".join(urls[1:])} if urls else {}
    ports = {"SCHEDULER_PLAINTXT_PORT": str(scheduler_port), "SCHEDULER_TLS_PORT": str(scheduler_port)}
    return {"SCHEDULER_HOST": HOST, **ports, **named, **others}
