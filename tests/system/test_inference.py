"""One model on MLServer and one on Triton, over REST and gRPC, with public clients."""

from collections.abc import Callable

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.http
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.system.deployment import IRIS_REQUEST, Deployment

pytestmark = pytest.mark.system
Load = Callable[[str], str]


def test_iris_answers_over_rest_by_header_and_by_path(rest: httpx.Client, load: Load) -> None:
    load("sklearn-iris-gs.yaml")
    for path, headers in (("/v2/models/anything/infer", {"Seldon-Model": "iris"}), ("/v2/models/iris/infer", {})):
        answer = rest.post(path, json=IRIS_REQUEST, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["x-seldon-route"].startswith(":iris_")
        assert answer.headers["x-request-id"]
        body = answer.json()
        assert body["outputs"][0] | {"parameters": None} == {
            "name": "predict", "shape": [1, 1], "datatype": "INT64", "parameters": None, "data": [2],
        }  # fmt: skip
        assert body["outputs"][0]["parameters"] == {"content_type": "np"}


def test_metadata_and_readiness_of_both_servers(rest: httpx.Client, load: Load) -> None:
    for model in (load("sklearn-iris-gs.yaml"), load("tfsimple1.yaml")):
        metadata = rest.get(f"/v2/models/{model}", headers={"Seldon-Model": model})
        assert metadata.status_code == 200
        assert metadata.json()["name"].startswith(f"{model}_")
        assert rest.get(f"/v2/models/{model}/ready").status_code == 200
        assert rest.get("/v2/health/ready", headers={"Seldon-Model": model}).status_code == 200


def test_superfluous_and_stale_route_headers_are_ignored(rest: httpx.Client, load: Load) -> None:
    load("sklearn-iris-gs.yaml")
    for stale in (":iris_1:", ":iris_999:", ":gone_1:"):
        answer = rest.post("/v2/models/iris/infer", json=IRIS_REQUEST, headers={"x-seldon-route": stale})
        assert answer.status_code == 200


def test_request_id_of_the_caller_comes_back(rest: httpx.Client, load: Load) -> None:
    load("sklearn-iris-gs.yaml")
    answer = rest.post("/v2/models/iris/infer", json=IRIS_REQUEST, headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"


def test_iris_over_grpc_with_tritonclient(deployment: Deployment, load: Load) -> None:
    load("sklearn-iris-gs.yaml")
    answer = deployment.tritonclient_grpc("iris", "FP32", [1, 4], [1, 2, 3, 4], "predict")
    assert answer["outputs"] == {"predict": [[2]]}
    assert answer["model"].startswith("iris_")
    assert answer["ready"]


@pytest.mark.parametrize("compression", [[], ["--compression", "gzip"]])
def test_tfsimple1_over_grpc_with_tritonclient(deployment: Deployment, load: Load, compression: list[str]) -> None:
    load("tfsimple1.yaml")
    values = list(range(1, 17))
    answer = deployment.tritonclient_grpc(
        "tfsimple1", "INT32", [1, 16], values, "INPUT0", "INPUT1", options=compression
    )
    assert answer["outputs"] == {"OUTPUT0": [[2 * value for value in values]], "OUTPUT1": [[0] * 16]}
    assert answer["inputs"] == ["INPUT0", "INPUT1"]
    assert answer["ready"]


def test_tfsimple1_over_rest_with_binary_tensors(
    triton_http: tritonclient.http.InferenceServerClient, load: Load
) -> None:
    load("tfsimple1.yaml")
    values = np.arange(1, 17, dtype=np.int32).reshape(1, 16)
    tensors = []
    for name in ("INPUT0", "INPUT1"):
        tensor = tritonclient.http.InferInput(name, [1, 16], "INT32")
        tensor.set_data_from_numpy(values, binary_data=True)
        tensors.append(tensor)
    result = triton_http.infer("tfsimple1", tensors, headers={"Seldon-Model": "tfsimple1"})
    assert (result.as_numpy("OUTPUT0") == 2 * values).all()


def test_scheduler_lists_its_services_to_tools(deployment: Deployment) -> None:
    with grpc.insecure_channel(deployment.scheduler_address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]))
    names = {service.name for service in answer.list_services_response.service}
    assert {"seldon.mlops.scheduler.Scheduler", "grpc.health.v1.Health"} <= names
