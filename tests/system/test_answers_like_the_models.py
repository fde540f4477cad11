"""A pipeline around one model answers as the model does, over REST and gRPC: outputs, text, null, half precision."""

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from shared.oip.tensors import raw_inputs, type_outputs
from tests.system.calls import SECONDS
from tests.system.deployment import ROOT, Deployment

pytestmark = [pytest.mark.system, pytest.mark.kafka]

MODELS = Path(__file__).resolve().parent / "models"
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
FLAT = [number for flower in FLOWERS for number in flower]
TRAIN = """
import sys, joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
data = load_iris()
labels = [str(data.target_names[each]) for each in data.target]
joblib.dump(LogisticRegression(max_iter=1000).fit(data.data, labels), sys.argv[1])
"""
Around = Callable[[str, str], str]


def flowers(*outputs: str) -> dict[str, Any]:
    tensor = {"name": "predict", "shape": [2, 4], "datatype": "FP32", "data": FLOWERS}
    return {"inputs": [tensor], "outputs": [{"name": name} for name in outputs]}


def flowers_message(*outputs: str) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest()
    request.inputs.add(name="predict", shape=[2, 4], datatype="FP32").contents.fp32_contents.extend(FLAT)
    for name in outputs:
        request.outputs.add(name=name)
    return request


def post(deployment: Deployment, resource: str, body: dict[str, Any]) -> httpx.Response:
    url = f"{deployment.data_url}/v2/models/{resource.removesuffix('.pipeline')}/infer"
    return httpx.post(url, json=body, headers={"seldon-model": resource}, timeout=SECONDS, trust_env=False)


def outputs_of(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return {output["name"]: output for output in answer.json()["outputs"]}


def ask(deployment: Deployment, resource: str, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
    with grpc.insecure_channel(deployment.data_address) as channel:
        stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        sent = oip.ModelInferRequest()
        sent.CopyFrom(request)
        sent.model_name = resource.removesuffix(".pipeline")
        metadata = (("seldon-model", resource),)
        return type_outputs(stub.ModelInfer(sent, metadata=metadata, timeout=SECONDS))


def flat(data: list[Any]) -> list[Any]:
    """The model itself may nest what the pipeline gives flat."""
    return [each for row in data for each in (row if isinstance(row, list) else [row])]


@pytest.fixture(scope="module")
def around(deployment: Deployment) -> Around:
    """Load a model of a folder under a name, with a pipeline `NAME-pipeline` around it; returns the model's name."""

    def load(name: str, folder: str) -> str:
        requirements = ["sklearn"] if "model.joblib" in {each.name for each in Path(folder).iterdir()} else ["mlserver"]
        deployment.load_manifest({"storageUri": folder, "requirements": requirements, "memory": "100Ki"}, name)
        deployment.wait_state(name, "ModelAvailable")
        deployment.load_pipeline(
            "apiVersion: mlops.seldon.io/v1alpha1\nkind: Pipeline\n"
            f"metadata: {{name: {name}-pipeline}}\nspec: {{steps: [{{name: {name}}}], output: {{steps: [{name}]}}}}\n"
        )
        return name

    return load


@pytest.fixture(scope="module")
def echo(around: Around) -> str:
    return f"{around('echo-all', str(MODELS / 'echo'))}-pipeline.pipeline"


@pytest.fixture(scope="module")
def half(around: Around) -> str:
    return around("half", str(MODELS / "half"))


@pytest.fixture(scope="module")
def iris(deployment: Deployment) -> tuple[str, str]:
    pipeline = deployment.load_pipeline_sample("iris.yaml", "sklearn-iris-gs.yaml")
    return "iris", f"{pipeline}.pipeline"


def test_a_requested_output_comes_from_model_and_pipeline(deployment: Deployment, iris: tuple[str, str]) -> None:
    for resource in iris:
        (output,) = outputs_of(post(deployment, resource, flowers("predict_proba"))).values()
        assert (output["name"], output["datatype"], output["shape"]) == ("predict_proba", "FP64", [2, 3])
        (tensor,) = ask(deployment, resource, flowers_message("predict_proba")).outputs
        assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("predict_proba", "FP64", [2, 3])
        assert list(tensor.contents.fp64_contents) == pytest.approx(flat(output["data"]))


def test_an_unknown_output_is_an_error_that_names_it(deployment: Deployment, iris: tuple[str, str]) -> None:
    statuses, codes = set(), set()
    for resource in iris:
        answer = post(deployment, resource, flowers("nope"))
        statuses.add(answer.status_code)
        assert "nope" in answer.json()["error"]
        with pytest.raises(grpc.RpcError) as failed:
            ask(deployment, resource, flowers_message("nope"))
        codes.add(failed.value.code())
        assert "nope" in str(failed.value.details())
    # The pipeline's error is of the model's kind.
    assert (len(statuses), len(codes)) == (1, 1), (statuses, codes)


def test_text_labels_are_text(deployment: Deployment, around: Around, tmp_path: Path) -> None:
    python = ROOT / ".seldon" / "venvs" / "mlserver" / "bin" / "python"
    subprocess.run([str(python), "-c", TRAIN, str(tmp_path / "model.joblib")], check=True, timeout=120)
    name = around("labels", str(tmp_path))
    for resource in (name, f"{name}-pipeline.pipeline"):
        assert outputs_of(post(deployment, resource, flowers()))["predict"]["data"] == ["setosa", "virginica"]


def test_base64_is_encoded_once(deployment: Deployment, echo: str) -> None:
    tensor = {"name": "s", "shape": [1], "datatype": "BYTES", "data": ["aGVsbG8="]}
    for content_type in ("base64", "str", "other"):
        sent = {**tensor, "parameters": {"content_type": content_type}}
        output = outputs_of(post(deployment, echo, {"inputs": [sent]}))["s"]
        assert output["data"] == ["aGVsbG8="]
        assert output["parameters"]["content_type"] == content_type


def test_null_is_absent(deployment: Deployment, echo: str) -> None:
    parameters = {"content_type": "str", "headers": None}
    tensor = {"name": "words", "shape": [2], "datatype": "BYTES", "parameters": parameters, "data": ["eins", "zwei"]}
    body = {"id": None, "parameters": None, "outputs": None, "inputs": [tensor]}
    assert outputs_of(post(deployment, echo, body))["words"]["data"] == ["eins", "zwei"]


def test_null_among_numbers_is_nan(deployment: Deployment, echo: str) -> None:
    tensor = {"name": "x", "shape": [4], "datatype": "FP64", "data": [1.5, None, -2, 4]}
    data = outputs_of(post(deployment, echo, {"parameters": {"content_type": "np"}, "inputs": [tensor]}))["x"]["data"]
    assert math.isnan(float(data[1]))
    assert [data[0], *data[2:]] == [1.5, -2, 4]


def test_a_fraction_as_a_parameter_is_refused_by_name(deployment: Deployment, echo: str) -> None:
    tensor = {"name": "s", "shape": [1], "datatype": "INT32", "data": [1]}
    answer = post(deployment, echo, {"parameters": {"temperature": 0.7}, "inputs": [tensor]})
    assert answer.status_code == 400
    assert "'temperature' 0.7" in answer.json()["error"]


def test_half_precision(deployment: Deployment, half: str) -> None:
    expected = pytest.approx([0.25, 0.5, 1.0996], abs=1e-4)
    pipeline = f"{half}-pipeline.pipeline"
    body = {"inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2, 4.4]}]}
    for resource in (half, pipeline):
        outputs = outputs_of(post(deployment, resource, body))
        assert outputs["quarter"]["data"] == expected
        assert outputs["total"]["data"] == pytest.approx([7.4])
    typed = oip.ModelInferRequest()
    typed.inputs.add(name="x", shape=[3], datatype="FP32").contents.fp32_contents.extend([1, 2, 4.4])
    raw = raw_inputs(typed)
    # Straight to the model, MLServer itself cannot write half precision as typed contents.
    for resource, request in ((pipeline, typed), (pipeline, raw), (half, raw)):
        quarter, total = ask(deployment, resource, request).outputs
        assert list(quarter.contents.fp32_contents) == expected
        assert list(total.contents.fp64_contents) == pytest.approx([7.4])


def test_a_step_that_is_not_loaded_is_named_at_once(deployment: Deployment, around: Around) -> None:
    name = around("comes-and-goes", str(MODELS / "echo"))
    pipeline = f"{name}-pipeline.pipeline"
    body = {"inputs": [{"name": "s", "shape": [1], "datatype": "INT32", "data": [1]}]}
    assert post(deployment, pipeline, body).status_code == 200
    deployment.unload(name)
    answer = post(deployment, pipeline, body)
    assert answer.status_code == 503
    assert f"step {name} is not loaded" in answer.json()["error"]
    # On its way: the caller waits, whatever the order in which the news spread.
    deployment.load_manifest(
        {"storageUri": str(MODELS / "echo"), "requirements": ["mlserver"], "memory": "100Ki"}, name
    )
    deployment.wait_for(lambda: post(deployment, pipeline, body).status_code == 200, f"{pipeline} to answer")
    deployment.unload_pipeline(f"{name}-pipeline")
    deployment.unload(name)
