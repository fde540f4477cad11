"""What the command line talks to, small but real: a scheduler, a data plane over REST and gRPC, and `/explain`."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler.scheduler_pb2_grpc import SchedulerServicer, add_SchedulerServicer_to_server
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from mlops.v2_dataplane.v2_dataplane_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

NO_SERVER = "Failed to schedule model as no matching servers are available"
CAPABILITIES = frozenset({"mlserver", "sklearn"})


class MemoryScheduler(SchedulerServicer):
    """Keeps resources in memory; they are ready at the second look, models if the one server has what they need."""

    def __init__(self) -> None:
        self.models: dict[str, list[pb.ModelVersionStatus]] = {}
        self.pipelines: dict[str, pb.PipelineWithState] = {}
        self.experiments: dict[str, pb.Experiment] = {}

    def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.LoadModelResponse:
        versions = self.models.setdefault(request.model.meta.name, [])
        fits = CAPABILITIES.issuperset(request.model.modelSpec.requirements)
        state = pb.ModelStatus.ModelProgressing if fits else pb.ModelStatus.ScheduleFailed
        status = pb.ModelVersionStatus(version=len(versions) + 1, modelDefn=request.model)
        status.state.CopyFrom(pb.ModelStatus(state=state, reason="" if fits else NO_SERVER))
        if fits:
            status.serverName = "mlserver"
            status.modelReplicaState[0].state = pb.ModelReplicaStatus.Loading
        versions.append(status)
        return pb.LoadModelResponse()

    def UnloadModel(self, request: pb.UnloadModelRequest, context: Any) -> pb.UnloadModelResponse:
        for version in self._model(request.model.name, "Model {} not found", context):
            version.state.state = pb.ModelStatus.ModelTerminated
        return pb.UnloadModelResponse()

    def ModelStatus(self, request: pb.ModelStatusRequest, context: Any) -> Iterator[pb.ModelStatusResponse]:
        names = [request.model.name] if request.HasField("model") else list(self.models)
        for name in names:
            newest = self._model(name, "Failed to find model {}", context)[-1]
            yield pb.ModelStatusResponse(modelName=name, versions=[newest])
            if newest.state.state == pb.ModelStatus.ModelProgressing:
                newest.state.state = pb.ModelStatus.ModelAvailable
                newest.modelReplicaState[0].state = pb.ModelReplicaStatus.Available

    def _model(self, name: str, sentence: str, context: Any) -> list[pb.ModelVersionStatus]:
        if name not in self.models:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, sentence.format(name))
        return self.models[name]

    def ServerStatus(self, request: pb.ServerStatusRequest, context: Any) -> Iterator[pb.ServerStatusResponse]:
        if request.HasField("name") and request.name != "mlserver":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"Server [{request.name}] not found")
        yield pb.ServerStatusResponse(
            type=pb.ServerStatusResponse.StatusUpdate,
            serverName="mlserver",
            expectedReplicas=1,
            availableReplicas=1,
            numLoadedModelReplicas=len(self.models),
            resources=[pb.ServerReplicaResources(totalMemoryBytes=1000, availableMemoryBytes=400, numLoadedModels=1)],
        )

    def LoadPipeline(self, request: pb.LoadPipelineRequest, context: Any) -> pb.LoadPipelineResponse:
        name = request.pipeline.name
        if not request.pipeline.steps:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"pipeline {name} has no steps defined")
        before = self.pipelines.get(name, pb.PipelineWithState())
        made = pb.PipelineWithState(pipeline=request.pipeline)
        made.pipeline.version = before.pipeline.version + 1
        made.state.CopyFrom(
            pb.PipelineVersionState(
                status=pb.PipelineVersionState.PipelineReady,
                modelsReady=all(step.name in self.models for step in request.pipeline.steps),
                pipelineGwStatus=pb.PipelineVersionState.PipelineCreate,
                pipelineGwReason="no pipeline gateway connected",
            )
        )
        self.pipelines[name] = made
        return pb.LoadPipelineResponse()

    def UnloadPipeline(self, request: pb.UnloadPipelineRequest, context: Any) -> pb.UnloadPipelineResponse:
        del self.pipelines[request.name]
        return pb.UnloadPipelineResponse()

    def PipelineStatus(self, request: pb.PipelineStatusRequest, context: Any) -> Iterator[pb.PipelineStatusResponse]:
        for name in [request.name] if request.HasField("name") else list(self.pipelines):
            if name not in self.pipelines:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"pipeline {name} not found")
            yield pb.PipelineStatusResponse(pipelineName=name, versions=[self.pipelines[name]])
            self.pipelines[name].state.pipelineGwStatus = pb.PipelineVersionState.PipelineReady


@contextmanager
def grpc_server(servicer: Any, add: Any) -> Iterator[str]:
    """Serve on a free port; yields host:port."""
    server = grpc.server(ThreadPoolExecutor(4))
    add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextmanager
def scheduler_server(scheduler: MemoryScheduler) -> Iterator[str]:
    with grpc_server(scheduler, add_SchedulerServicer_to_server) as address:
        yield address


class GrpcDataPlane(GRPCInferenceServiceServicer):
    """The model `double` answers twice its INT32 input, as raw bytes; other models do not exist."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []

    def ModelInfer(self, request: oip.ModelInferRequest, context: Any) -> oip.ModelInferResponse:
        self.metadata.append(dict(context.invocation_metadata()))
        if request.model_name != "double":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Model {request.model_name} not found")
        context.send_initial_metadata((("x-seldon-route", ":double_1:"),))
        context.set_trailing_metadata((("x-served-by", "peer"),))
        doubled = np.array(request.inputs[0].contents.int_contents, "<i4") * 2
        output = oip.ModelInferResponse.InferOutputTensor(name="y", datatype="INT32", shape=list(doubled.shape))
        return oip.ModelInferResponse(
            model_name="double_1", outputs=[output], raw_output_contents=[doubled.astype("<i4").tobytes()]
        )


@contextmanager
def grpc_data_plane(peer: GrpcDataPlane) -> Iterator[str]:
    with grpc_server(peer, add_GRPCInferenceServiceServicer_to_server) as address:
        yield address


class HttpPeer(ThreadingHTTPServer):
    """A data plane whose two versions take turns unless a sticky key is sent, and the scheduler's `/explain`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.explanations: dict[str, dict[str, Any]] = {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["HttpPeer"]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpPeer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        sticky = self.headers.get_all("x-seldon-route") or []
        self.server.requests.append({"path": self.path, "headers": dict(self.headers.items()), "sticky": sticky})
        model = self.path.split("/")[3]
        if model == "refused":
            self._answer(400, {"error": "wrong shape"}, [":refused_1:"])
        elif model == "silent":
            self._answer(202, {"accepted": True, "key": "0.silent.a"}, [])
        elif model != "iris":
            self._answer(404, {"detail": "no"}, [])
        else:
            turn = f":iris_{1 + len(self.server.requests) % 2}:"
            data = json.loads(body)["inputs"][0]["data"]
            self._answer(200, {"model_name": "iris", "data": [2 * each for each in data]}, sticky or [turn])

    def do_GET(self) -> None:
        self.server.requests.append({"path": self.path, "headers": dict(self.headers.items()), "sticky": []})
        name = self.path.split("/")[3]
        if self.path.startswith("/explain/"):
            known = self.server.explanations.get(name)
            self._answer(200 if known else 404, known or {"error": f"model {name} not found"}, [])
        else:
            self._answer(200, {"name": f"{name}_1", "platform": "sklearn"}, [])

    def _answer(self, status: int, document: object, routes: list[str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for route in routes:
            self.send_header("x-seldon-route", route)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the test report is no place for an access log."""
