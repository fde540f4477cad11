"""Every sample model gives the answers that its description promises."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.system.deployment import SAMPLES, Deployment

pytestmark = pytest.mark.system
Load = Callable[[str], str]


def tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def fp32(name: str, *values: float) -> dict[str, Any]:
    return tensor(name, "FP32", [4], list(values))


V = list(range(1, 17))
PAIR = [tensor("INPUT0", "INT32", [1, 16], V), tensor("INPUT1", "INT32", [1, 16], V)]
PLAIN = fp32("INPUT", 1, 2, 3, 4)
IRIS = [tensor("predict", "FP32", [1, 4], [1, 2, 3, 4])]
BOTH = [fp32("INPUT0", 1, 2, 3, 4), fp32("INPUT1", 5, 6, 7, 8)]

CASES: list[tuple[str, list[dict[str, Any]], dict[str, list[Any]]]] = [
    ("sklearn1.yaml", IRIS, {"predict": [2]}),
    ("iris2.yaml", IRIS, {"predict": [2]}),
    ("tfsimple1.yaml", PAIR, {"OUTPUT0": [2 * v for v in V], "OUTPUT1": [0] * 16}),
    ("tfsimple2.yaml", PAIR, {"OUTPUT0": [2 * v for v in V], "OUTPUT1": [0] * 16}),
    ("tfsimple3.yaml", PAIR, {"OUTPUT0": [2 * v for v in V], "OUTPUT1": [0] * 16}),
    ("add10.yaml", [PLAIN], {"OUTPUT": [11, 12, 13, 14]}),
    ("add20.yaml", [PLAIN], {"OUTPUT": [21, 22, 23, 24]}),
    ("mul10.yaml", [PLAIN], {"OUTPUT": [10, 20, 30, 40]}),
    ("conditional.yaml", [tensor("CHOICE", "INT32", [1], [0]), *BOTH], {"OUTPUT0": [1, 2, 3, 4]}),
    ("conditional.yaml", [tensor("CHOICE", "INT32", [1], [1]), *BOTH], {"OUTPUT1": [5, 6, 7, 8]}),
    ("outlier-error.yaml", [PLAIN], {"OUTPUT": [10, 20, 30, 40]}),
    ("check.yaml", [tensor("INPUT", "INT32", [1, 16], [1] * 16)], {"OUTPUT": [1] * 16}),
    ("multi-version-1.yaml", [PLAIN], {"OUTPUT": [11, 12, 13, 14]}),
    ("multi-version-2.yaml", [PLAIN], {"OUTPUT": [10, 20, 30, 40]}),
    ("counter.yaml", [tensor("counter.inputs", "INT32", [1], [0])], {"output": [1]}),
]


@pytest.mark.parametrize(("file", "inputs", "expected"), CASES, ids=[case[0] for case in CASES])
def test_sample_answers(
    rest: httpx.Client, load: Load, file: str, inputs: list[dict[str, Any]], expected: dict[str, list[Any]]
) -> None:
    model = load(file)
    answer = rest.post(f"/v2/models/{model}/infer", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    for name, values in expected.items():
        assert outputs[name] == values
    assert set(outputs) - set(expected) <= {"continue"}


def test_outlier_error_says_why(rest: httpx.Client, load: Load) -> None:
    model = load("outlier-error.yaml")
    answer = rest.post(f"/v2/models/{model}/infer", json={"inputs": [fp32("INPUT", 100, 2, 3, 4)]})
    assert answer.status_code >= 400
    assert "Outlier. Input sums to greater than 100" in answer.json()["error"]


def test_choice_by_pandas_query(rest: httpx.Client, load: Load) -> None:
    inputs = [tensor("choice", "INT32", [1], [1]), tensor("INPUT", "FP32", [1], [5])]
    one, two = load("choice1.yaml"), load("choice2.yaml")
    matching = rest.post(f"/v2/models/{one}/infer", json={"inputs": inputs})
    other = rest.post(f"/v2/models/{two}/infer", json={"inputs": inputs})
    assert matching.status_code == other.status_code == 200, (matching.text, other.text)
    assert "INPUT" in {output["name"] for output in matching.json()["outputs"]}
    assert {output["name"] for output in other.json()["outputs"]} == {"status"}


def test_command_line_walk(deployment: Deployment) -> None:
    """What a newcomer types, and that each answer is what the next step needs."""
    loaded = deployment.seldon("model", "load", "-f", str(SAMPLES / "sklearn-iris-gs.yaml"))
    assert json.loads(loaded.stdout) == {}
    waited = deployment.seldon("model", "status", "iris", "-w", "ModelAvailable", "-t", "60")
    assert json.loads(waited.stdout) == {}
    listed = deployment.seldon("model", "list")
    assert "iris" in listed.stdout
    assert "ModelAvailable" in listed.stdout
    request = json.dumps({"inputs": IRIS})
    for mode in ("rest", "grpc"):
        data = request if mode == "rest" else json.dumps(
            {"inputs": [{"name": "predict", "datatype": "FP32", "shape": [1, 4],
                         "contents": {"fp32_contents": [1, 2, 3, 4]}}]})  # fmt: skip
        answer = deployment.seldon("model", "infer", "iris", data, "--inference-mode", mode)
        assert answer.code == 0, answer
        assert json.loads(answer.stdout)["outputs"][0]["name"] == "predict"
    counted = deployment.seldon("model", "infer", "iris", request, "-i", "20")
    assert "Success: map[:iris_" in counted.stdout
    assert "::20]" in counted.stdout
    server = deployment.seldon("server", "status", "mlserver")
    assert json.loads(server.stdout)["serverName"] == "mlserver"
    assert "mlserver" in deployment.seldon("server", "list").stdout
    assert json.loads(deployment.seldon("model", "metadata", "iris").stdout)["name"].startswith("iris_")
    explained = deployment.seldon("explain", "model", "iris")
    assert explained.code == 0, explained
    assert "mlserver" in explained.stdout
