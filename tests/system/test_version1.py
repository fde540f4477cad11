"""The version 1 protocols on a deployment: both ports, both protocols, errors, metrics."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from version1 import (
    predict_pb2,
    prediction_pb2,
    prediction_pb2_grpc,
    prediction_service_pb2_grpc,
    types_pb2,
)

from tests.system.deployment import Deployment

pytestmark = pytest.mark.system
NUMBER = 0.43782349911420193
FIRST = {"data": {"ndarray": [[1.0, 2.0, 5.0]]}}
METRICS = [
    {"key": "mycounter", "type": "COUNTER", "value": 1},
    {"key": "mygauge", "type": "GAUGE", "value": 100},
    {"key": "mytimer", "type": "TIMER", "value": 20.2},
]
DOORS = ("gateway", "envoy")
PIPELINE = """\
apiVersion: mlops.seldon.io/v1alpha1
kind: Pipeline
metadata: {name: v1-chain}
spec:
  steps:
  - {name: custom-metrics}
  - {name: mock-classifier, inputs: [custom-metrics]}
  output: {steps: [mock-classifier]}
"""


@pytest.fixture(scope="module", autouse=True)
def models(deployment: Deployment) -> None:
    for name in ("mock-classifier", "custom-metrics", "halfplustwo"):
        deployment.load_sample(f"{name}.yaml")


@pytest.fixture
def gateway(deployment: Deployment) -> Iterator[httpx.Client]:
    with client(deployment, "gateway") as made:
        yield made


def client(deployment: Deployment, door: str) -> httpx.Client:
    port = deployment.stack.port("V1_GATEWAY_HTTP_PORT" if door == "gateway" else "ENVOY_DATA_PORT")
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)


def channel(deployment: Deployment, door: str) -> grpc.Channel:
    return grpc.insecure_channel(
        f"127.0.0.1:{deployment.stack.port('V1_GATEWAY_GRPC_PORT' if door == 'gateway' else 'ENVOY_DATA_PORT')}"
    )


def predict(caller: httpx.Client, name: str, body: Any, version: str = "v1.0") -> httpx.Response:
    return caller.post(f"/seldon/any/{name}/api/{version}/predictions", json=body)


def echoed(caller: httpx.Client, body: Any) -> Any:
    answer = predict(caller, "custom-metrics", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("version", ["v1.0", "v0.1"])
def test_the_mock_classifier_gives_the_number_of_the_source(deployment: Deployment, door: str, version: str) -> None:
    with client(deployment, door) as caller:
        answer = predict(caller, "mock-classifier", FIRST, version).json()
    ((found,),) = answer["data"].pop("ndarray")
    assert abs(found - NUMBER) < 1e-9
    assert answer == {"data": {"names": ["proba"]}, "meta": {}}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("header", ["seldon-model", "seldon-deployment", "seldon"])
def test_a_header_names_the_deployment(deployment: Deployment, door: str, header: str) -> None:
    with client(deployment, door) as caller:
        answer = caller.post("/api/v1.0/predictions", json=FIRST, headers={header: "mock-classifier"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-seldon-route"].startswith(":mock-classifier_")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/v1/models/halfplustwo/:predict", "/v1/models/halfplustwo:predict"])
def test_both_spellings_of_tensorflow(deployment: Deployment, door: str, path: str) -> None:
    with client(deployment, door) as caller:
        answer = caller.post(path, json={"instances": [1.0, 2.0, 5.0]})
    assert (answer.status_code, answer.json()) == (200, {"predictions": [2.5, 3.0, 4.5]})


def test_tensorflow_by_name_and_by_column(gateway: httpx.Client) -> None:
    def ask(body: Any) -> Any:
        return gateway.post("/v1/models/halfplustwo:predict", json=body).json()

    assert ask({"inputs": {"INPUT": [1.0, 2.0]}}) == {"outputs": [2.5, 3.0]}
    assert ask({"inputs": [1.0, 2.0]}) == {"outputs": [2.5, 3.0]}
    assert ask({"instances": [{"INPUT": 1}, {"INPUT": 3}]}) == {"predictions": [2.5, 3.5]}


def test_the_echo_model_answers_as_in_the_source(gateway: httpx.Client) -> None:
    expected = {"data": {"names": ["t:0", "t:1", "t:2"], "ndarray": [[1.0, 2.0, 5.0]]}, "meta": {"metrics": METRICS}}
    assert echoed(gateway, FIRST) == expected


@pytest.mark.parametrize(
    "payload",
    [
        {"data": {"tensor": {"shape": [2, 2], "values": [1.0, 2.0, 3.0, 4.5]}}},
        {"data": {"ndarray": [[1, 2], [3, 9007199254740993]]}},
        {"data": {"ndarray": [["a", "ä\"b"], ["c", ""]]}},
        {"data": {"ndarray": [True, False]}},
        {"data": {"ndarray": [[[1.5], [0.1]], [[2.0], [1e300]]]}},
        {"strData": 'one "two" ä'},
        {"binData": "AAEC/w=="},
        {"jsonData": {"a": [1, {"b": None}], "c": 0.1}},
    ],
    ids=lambda payload: next(iter(payload.get("data", payload))),
)  # fmt: skip
def test_every_kind_of_payload_comes_back_as_it_was(gateway: httpx.Client, payload: dict[str, Any]) -> None:
    answer = echoed(gateway, payload)
    answer.pop("meta")
    answer.get("data", {}).pop("names", None)
    assert answer == payload


def test_meta_of_the_request_comes_back(gateway: httpx.Client) -> None:
    answer = echoed(gateway, {**FIRST, "meta": {"puid": "p1", "tags": {"who": "me"}}})
    assert answer["meta"] == {"puid": "p1", "tags": {"who": "me"}, "metrics": METRICS}


def test_other_models_answer_version_1_callers_too(deployment: Deployment, gateway: httpx.Client) -> None:
    deployment.load_sample("sklearn-iris-gs.yaml")
    flower = {"data": {"names": ["a", "b", "c", "d"], "ndarray": [[1, 2, 3, 4]]}}
    assert predict(gateway, "iris", flower).json() == {"data": {"names": ["t:0"], "ndarray": [[2]]}, "meta": {}}
    numbers = {"data": {"tensor": {"shape": [3], "values": [1, 2, 5]}}}
    assert predict(gateway, "halfplustwo", numbers).json()["data"]["tensor"] == {"shape": [3], "values": [2.5, 3, 4.5]}
    deployment.load_sample("tfsimple1.yaml")
    row = [list(range(16))]
    both = predict(gateway, "tfsimple1", {"jsonData": {"INPUT0": row, "INPUT1": row}}).json()
    assert both["jsonData"] == {"OUTPUT0": [[2 * each for each in range(16)]], "OUTPUT1": [[0] * 16]}
    refused = predict(gateway, "tfsimple1", FIRST)
    assert refused.status_code == 400
    assert "takes 2 tensors (INPUT0, INPUT1)" in refused.json()["status"]["info"]


def test_a_pipeline_is_a_deployment(deployment: Deployment, gateway: httpx.Client) -> None:
    deployment.load_pipeline(PIPELINE)
    for name in ("v1-chain", "v1-chain.pipeline"):
        answer = predict(gateway, name, {**FIRST, "meta": {"puid": "p2"}})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["data"]["names"] == ["proba"]
        assert abs(body["data"]["ndarray"][0][0] - NUMBER) < 1e-9
        assert body["meta"]["puid"] == "p2"
    scraped = gateway.get("/prometheus").text
    assert 'model_name="v1-chain"' in scraped
    deployment.unload_pipeline("v1-chain")


@pytest.mark.parametrize("door", DOORS)
def test_seldon_over_grpc(deployment: Deployment, door: str) -> None:
    with channel(deployment, door) as connection:
        stub = prediction_pb2_grpc.SeldonStub(connection)
        asked = prediction_pb2.SeldonMessage()
        asked.data.tensor.shape.extend([1, 3])
        asked.data.tensor.values.extend([1, 2, 5])
        names = (("seldon", "mock-classifier"),)
        answer = stub.Predict(asked, metadata=names, timeout=60)
        assert list(answer.data.names) == ["proba"]
        assert list(answer.data.tensor.shape) == [1, 1]
        assert abs(answer.data.tensor.values[0] - NUMBER) < 1e-9
        echo = stub.Predict(asked, metadata=(("seldon-deployment", "custom-metrics"),), timeout=60)
        assert [(each.key, each.type, round(each.value, 4)) for each in echo.meta.metrics] == [
            ("mycounter", 0, 1), ("mygauge", 1, 100), ("mytimer", 2, 20.2),
        ]  # fmt: skip
        told = prediction_pb2.Feedback(request=asked, reward=0.5)
        stub.SendFeedback(told, metadata=names, timeout=60)
        with pytest.raises(grpc.RpcError) as unknown:
            stub.Predict(asked, metadata=(("seldon", "nobody"),), timeout=60)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as empty:
            stub.Predict(prediction_pb2.SeldonMessage(), metadata=names, timeout=60)
        assert empty.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("door", DOORS)
def test_tensorflow_over_grpc(deployment: Deployment, door: str) -> None:
    with channel(deployment, door) as connection:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(connection)
        asked = predict_pb2.PredictRequest()
        asked.model_spec.name = "halfplustwo"
        tensor = asked.inputs["INPUT"]
        tensor.dtype = types_pb2.DT_FLOAT
        tensor.tensor_shape.dim.add(size=3)
        tensor.float_val.extend([1, 2, 5])
        answer = stub.Predict(asked, timeout=60)
        assert list(answer.outputs["OUTPUT"].float_val) == [2.5, 3, 4.5]
        assert answer.model_spec.name == "halfplustwo"
        asked.output_filter.append("nothing")
        with pytest.raises(grpc.RpcError, match="output_filter") as wrong:
            stub.Predict(asked, timeout=60)
        assert wrong.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_everything_beside_predictions(deployment: Deployment) -> None:
    for door, paths in {
        "gateway": ("/live", "/ready", "/prometheus"),
        "envoy": (),
    }.items():
        both = (
            "/seldon/any/mock-classifier/api/v1.0/status/mock-classifier",
            "/seldon/any/mock-classifier/api/v1.0/metadata",
            "/seldon/any/mock-classifier/api/v1.0/metadata/mock-classifier",
            "/api/v1.0/doc/",
            "/api/v1.0/doc/seldon.json",
            "/v1/models/halfplustwo",
            "/v1/models/halfplustwo/metadata",
        )
        with client(deployment, door) as caller:
            answers = {path: caller.get(path) for path in (*paths, *both)}
        assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
        (status,) = answers["/v1/models/halfplustwo"].json()["model_version_status"]
        assert status["state"] == "AVAILABLE"
        metadata = answers["/v1/models/halfplustwo/metadata"].json()
        signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["INPUT"]["dtype"] == "DT_FLOAT"


def counted(gateway: httpx.Client, name: str, **labels: str) -> float:
    """The sum of all series of this name with these labels."""
    total = 0.0
    for line in gateway.get("/prometheus").text.splitlines():
        found = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
        if found and all(f'{label}="{value}"' in found[1].split(",") for label, value in labels.items()):
            total += float(found[2])
    return total


def test_feedback_is_counted_and_told(gateway: httpx.Client) -> None:
    def told(name: str) -> float:
        return counted(gateway, name, deployment_name="mock-classifier", model_name="mock-classifier")

    before = told("seldon_api_model_feedback"), told("seldon_api_model_feedback_reward")
    body = {"request": FIRST, "response": FIRST, "reward": 2.5, "truth": {"data": {"ndarray": [[1.0]]}}}
    answer = gateway.post("/seldon/any/mock-classifier/api/v1.0/feedback", json=body)
    assert answer.status_code == 200, answer.text
    after = told("seldon_api_model_feedback"), told("seldon_api_model_feedback_reward")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 2.5)


BAD = {
    "no JSON": (b'{"data"', 400, "not JSON"),
    "a list": (b"[1]", 400, "write a JSON object"),
    "no payload": (b"{}", 400, "write one of data, strData"),
    "two payloads": (b'{"strData":"a","jsonData":1}', 400, "not strData and jsonData"),
    "mixed types": (b'{"data":{"ndarray":[[1.0,"a"]]}}', 400, "invalid string at data.ndarray[1] 'a'"),
    "nulls": (b'{"data":{"ndarray":[null]}}', 400, "invalid null at data.ndarray[0] None"),
    "ragged": (b'{"data":{"ndarray":[[1,2],[3]]}}', 400, "lists of 1 and 2 elements"),
    "depths": (b'{"data":{"ndarray":[[1,2],3]}}', 400, "same depth"),
    "short tensor": (b'{"data":{"tensor":{"shape":[2,2],"values":[1]}}}', 400, "has 1 values, its shape [2, 2] has 4"),
    "negative shape": (b'{"data":{"tensor":{"shape":[-1],"values":[1]}}}', 400, "none below 0"),
    "names": (b'{"data":{"names":[1],"ndarray":[1]}}', 400, "invalid data.names"),
    "no base64": (b'{"binData":"%"}', 400, "invalid binData"),
    "wrong shape for the model": (b'{"data":{"ndarray":[1.0]}}', 500, "class MockClassifier failed: AxisError"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_typed_error_and_counted_with_its_code(gateway: httpx.Client, name: str) -> None:
    body, status, sentence = BAD[name]
    predict(gateway, "mock-classifier", FIRST)
    series = "seldon_api_executor_server_requests_seconds_count"
    of = {"deployment_name": "mock-classifier", "service": "predictions", "code": str(status)}
    before = counted(gateway, series, **of)
    answer = gateway.post("/seldon/any/mock-classifier/api/v1.0/predictions", content=body)
    assert answer.status_code == status
    failed = answer.json()["status"]
    assert (failed["code"], failed["status"]) == (status, "FAILURE")
    assert sentence in failed["info"]
    assert counted(gateway, series, **of) == before + 1


@pytest.mark.parametrize("door", DOORS)
def test_unknown_deployments_are_404_and_counted_without_their_name(
    deployment: Deployment, gateway: httpx.Client, door: str
) -> None:
    series = "seldon_api_executor_server_requests_seconds_count"
    before = counted(gateway, series, deployment_name="", code="404")
    with client(deployment, door) as caller:
        seldon = predict(caller, "nobody", FIRST)
        tensorflow = caller.post("/v1/models/nobody:predict", json={"instances": [1]})
        unnamed = caller.post("/api/v1.0/predictions", json=FIRST)
    assert (seldon.status_code, tensorflow.status_code, unnamed.status_code) == (404, 404, 400)
    assert "deployment 'nobody' is unknown" in seldon.json()["status"]["info"]
    assert "deployment 'nobody' is unknown" in tensorflow.json()["error"]
    assert "names no deployment" in unnamed.json()["status"]["info"]
    assert counted(gateway, series, deployment_name="", code="404") == before + 2
    assert "nobody" not in gateway.get("/prometheus").text


def test_tensorflow_errors(gateway: httpx.Client) -> None:
    def ask(body: Any, path: str = "/v1/models/halfplustwo:predict") -> tuple[int, str]:
        answer = gateway.post(path, json=body)
        return answer.status_code, answer.json()["error"]

    assert ask({}) == (400, 'invalid request: write one of instances and inputs, not none: {"instances": [1.0, 2.0]}')
    status, error = ask({"instances": ["a"]})
    assert (status, "an element of FP32 is a number" in error) == (400, True)
    assert ask({"inputs": {"X": [1]}}) == (400, "invalid input 'X': the model takes INPUT")
    assert ask({"instances": [1]}, "/v1/models/halfplustwo/versions/99:predict")[0] == 404
    assert gateway.get("/v1/models/halfplustwo:predict").status_code == 405


def test_the_executors_metrics(gateway: httpx.Client) -> None:
    predict(gateway, "mock-classifier", FIRST)
    text = gateway.get("/prometheus").text
    of = 'code="200",deployment_name="mock-classifier",'
    server = rf'{of}method="post",predictor_name="default",predictor_version="\d+",service="predictions"'
    model = r'model_image="mock-classifier",model_name="mock-classifier",model_version="\d+",'
    asked = rf'{of}method="post",{model}predictor_name="default",predictor_version="\d+",service="predictions"'
    for side, labels in (("server", server), ("client", asked)):
        name = f"seldon_api_executor_{side}_requests_seconds"
        assert re.search(rf"^{name}_count\{{{labels}\}} \d", text, re.MULTILINE)
        assert re.search(rf"^{name}_sum\{{{labels}\}} \d", text, re.MULTILINE)
        assert re.search(rf"^{name}_summary_count\{{{labels}\}} \d", text, re.MULTILINE)
        bounds = set(re.findall(rf'^{name}_bucket\{{.*le="([^"]+)"', text, re.MULTILINE))
        assert bounds == {"0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5",
                          "5.0", "7.5", "10.0", "+Inf"}  # fmt: skip
        quantiles = set(re.findall(rf'^{name}_summary\{{.*quantile="([^"]+)"', text, re.MULTILINE))
        assert quantiles == {"0.5", "0.75", "0.9", "0.99", "1.0"}


def own_metrics(deployment: Deployment) -> dict[str, float]:
    port = deployment.stack.port("SERVER_MLSERVER_V1_METRICS_PORT")
    text = httpx.get(f"http://127.0.0.1:{port}/prometheus", timeout=60, trust_env=False).text
    return {
        line.partition("{")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#") and "_bucket" not in line
    }


def test_what_a_model_reports_itself(deployment: Deployment, gateway: httpx.Client) -> None:
    """Five calls more, which raise the counter by five and the timer by 0.101 seconds."""
    echoed(gateway, FIRST)
    before = own_metrics(deployment)
    for _ in range(5):
        echoed(gateway, FIRST)
    after = own_metrics(deployment)
    assert after["mycounter_total"] - before["mycounter_total"] == 5
    assert after["mygauge"] == 100
    assert after["mytimer_count"] - before["mytimer_count"] == 5
    assert round(after["mytimer_sum"] - before["mytimer_sum"], 9) == 0.101


def test_calls_are_counted_once_by_envoy(deployment: Deployment, rest: httpx.Client) -> None:
    """The call of a version 1 client is none of a model; that of the gateway is."""
    port = deployment.stack.port("ENVOY_CONTROL_PORT")

    def calls() -> Counter[str]:
        text = httpx.get(f"http://127.0.0.1:{port}/stats/prometheus", timeout=60, trust_env=False).text
        found = re.findall(r'^envoy_seldon_model_infer_total\{.*\bmodel="([^"]*)".*\} (\d+)$', text, re.MULTILINE)
        return sum((Counter({model: int(count)}) for model, count in found), Counter())

    predict(rest, "mock-classifier", FIRST)
    before = calls()
    predict(rest, "mock-classifier", FIRST)
    deployment.wait_for(lambda: calls() != before, "Envoy to count the call")
    assert calls() - before == Counter({"mock-classifier": 1})
