"""Whatever a caller sends: one clear error with the right status, and the next good request works."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
import yaml
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from tests.system.deployment import IRIS_REQUEST, SAMPLES, Deployment, manifest

pytestmark = pytest.mark.system
Load = Callable[[str], str]


@pytest.fixture(autouse=True)
def next_request_works(rest: httpx.Client, load: Load) -> Iterator[None]:
    load("sklearn-iris-gs.yaml")
    yield
    assert rest.post("/v2/models/iris/infer", json=IRIS_REQUEST).status_code == 200


@pytest.mark.parametrize(
    ("file", "sentence"),
    [("error-bad-spec.yaml", "unknown field"), ("error-no-uri.yaml", "uri")],
)
def test_malformed_manifests(deployment: Deployment, file: str, sentence: str) -> None:
    refused = deployment.seldon("model", "load", "-f", str(SAMPLES / file))
    assert refused.code == 255
    assert "Error: " in refused.stderr
    assert sentence in refused.stderr


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash", "dot.ted", "x" * 300])
def test_invalid_names(deployment: Deployment, name: str) -> None:
    spec = {"storageUri": "samples://iris", "requirements": ["sklearn"]}
    refused = deployment.seldon("load", stdin=yaml.safe_dump(manifest(spec, name)))
    assert refused.code == 255
    assert "FailedPrecondition" in refused.stderr
    assert "valid name" in refused.stderr


def test_missing_sections_over_grpc(deployment: Deployment) -> None:
    with grpc.insecure_channel(deployment.scheduler_address) as channel:
        stub = scheduler_pb2_grpc.SchedulerStub(channel)
        calls: list[Callable[[], object]] = [
            lambda: stub.LoadModel(pb.LoadModelRequest()),
            lambda: stub.LoadModel(pb.LoadModelRequest(model=pb.Model())),
            lambda: stub.LoadModel(pb.LoadModelRequest(model=pb.Model(meta=pb.MetaData(name="x")))),
            lambda: stub.UnloadModel(pb.UnloadModelRequest()),
            lambda: stub.UnloadModel(pb.UnloadModelRequest(model=pb.ModelReference(name="never-there"))),
            lambda: list(stub.ModelStatus(pb.ModelStatusRequest(model=pb.ModelReference(name="never-there")))),
            lambda: list(stub.ServerStatus(pb.ServerStatusRequest(name="never-there"))),
        ]
        for call in calls:
            with pytest.raises(grpc.RpcError) as refused:
                call()
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert refused.value.details()


@pytest.mark.parametrize(
    ("spec", "state", "cause"),
    [
        ({"storageUri": "samples://nothing-here", "requirements": ["sklearn"]}, "ModelFailed", "nothing-here"),
        ({"storageUri": "no-such-remote://x", "requirements": ["sklearn"]}, "ModelFailed", "no-such-remote"),
        ({"storageUri": "samples://iris", "requirements": ["foobar"]}, "ScheduleFailed", "lacks capability foobar"),
        ({"storageUri": "samples://iris", "requirements": ["sklearn"], "memory": "1G"}, "ScheduleFailed", "bytes"),
        ({"storageUri": "samples://iris", "requirements": ["triton"]}, "ModelFailed", ""),
    ],
)
def test_models_that_cannot_be_loaded(deployment: Deployment, spec: dict[str, object], state: str, cause: str) -> None:
    deployment.load_manifest(spec, "broken")
    status = deployment.wait_state("broken", state)
    assert cause in status.state.reason
    assert status.state.reason
    deployment.unload("broken")


def test_an_unreadable_artifact_tells_what_the_server_said(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"this is no model")
    spec = {"storageUri": str(tmp_path), "requirements": ["sklearn"], "memory": "100Ki"}
    deployment.load_manifest(spec, "unreadable")
    status = deployment.wait_state("unreadable", "ModelFailed")
    assert len(status.state.reason) > len("tried again at")
    deployment.unload("unreadable")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b'{"inputs": 3}',
        b'{"inputs":[{"name":"predict","shape":[1,4],"datatype":"FP99","data":[1,2,3,4]}]}',
        b'{"inputs":[{"name":"predict","shape":[1,4],"datatype":"FP32","data":["a","b","c","d"]}]}',
        b'{"inputs":[{"name":"predict","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}',
    ],
)
def test_wrong_requests_get_a_json_error(rest: httpx.Client, body: bytes) -> None:
    answer = rest.post("/v2/models/iris/infer", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in range(400, 600)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()


def test_a_large_body_is_answered(rest: httpx.Client) -> None:
    """100 MB of JSON; what comes back is the server's own word on it."""
    padding = b" " * 100_000_000
    body = b'{"inputs":[{"name":"predict","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]' + padding + b"}"
    answer = rest.post("/v2/models/iris/infer", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 413)
    assert answer.json()


def test_a_truncated_body_harms_nobody(deployment: Deployment) -> None:
    port = deployment.stack.port("ENVOY_DATA_PORT")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"POST /v2/models/iris/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )


def test_unknown_model(rest: httpx.Client, deployment: Deployment) -> None:
    answer = rest.post("/v2/models/nobody/infer", json=IRIS_REQUEST)
    assert answer.status_code == 404
    assert "nobody" in answer.json()["error"]
    with grpc.insecure_channel(deployment.data_address) as channel:
        stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        for metadata, words in (((("seldon-model", "nobody"),), "nobody"), ((), "seldon-model")):
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelInfer(oip.ModelInferRequest(model_name="nobody"), metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert words in str(refused.value.details())


def test_wrong_shape_over_grpc(deployment: Deployment, load: Load) -> None:
    load("tfsimple1.yaml")
    tensor = oip.ModelInferRequest.InferInputTensor(
        name="INPUT0", datatype="INT32", shape=[1, 20], contents=oip.InferTensorContents(int_contents=range(20))
    )
    with grpc.insecure_channel(deployment.data_address) as channel:
        stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = oip.ModelInferRequest(model_name="tfsimple1", inputs=[tensor])
        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request, metadata=(("seldon-model", "tfsimple1"),))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "INPUT0" in str(refused.value.details())
