"""Classes of the version 1 wrapper in a real MLServer, inside it and in worker processes."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from compose.process.home import REPOSITORY, Home
from tests.v1gateway.served import MODELS, Served, serving

FIRST = {"data": {"ndarray": [[1.0, 2.0, 5.0]]}}
SHAPED = {"data": {"names": ["x", "y"], "tensor": {"shape": [2, 2], "values": [1.0, 2.0, 3.0, 4.5]}}}
REQUESTS: dict[str, list[Any]] = {
    "mock-classifier": [FIRST, {"data": {"tensor": {"shape": [1, 3], "values": [1, 2, 5]}}}],
    "custom-metrics": [
        FIRST,
        SHAPED,
        {"data": {"ndarray": [[1, 2], [3, 4]]}},
        {"data": {"ndarray": [1, 2]}},
        {"data": {"ndarray": [["a", "b"]]}},
        {"strData": 'a "text" ä'},
        {"binData": "AAEC/w=="},
        {"jsonData": {"a": [1, {"b": None}]}},
        {**FIRST, "meta": {"puid": "p1"}},
    ],
    "everything": [
        {"jsonData": {"a": [1.5, "x"]}},
        SHAPED,
        {"data": {"names": ["a", "b"], "ndarray": [[1, 2], [3, 4]]}},
        {"data": {"names": ["column"], "ndarray": [[1.5, 2], [3, 4]]}},
        {"data": {"ndarray": [["a", "b"], ["c", "d"]]}},
        {"strData": "abc"},
        {"binData": "AAEC/w=="},
        {**FIRST, "meta": {"puid": "p2"}},
    ],
}


@pytest.fixture(scope="module", params=[0, 2], ids=["inside", "two workers"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("mlserver"), request.param) as made:
        yield made


def line(name: str, model: str, more: str = "") -> str:
    """The start of a series as the page shows it: labels in order, up to the worker's."""
    labels = {
        "deployment_name": model,
        "model_image": model,
        "model_name": model,
        "model_version": "1",
        "predictor_name": "NOT_IMPLEMENTED",
        "predictor_version": "NOT_IMPLEMENTED",
    }
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items())


def total(text: str, name: str) -> float:
    """Over all workers."""
    return sum(float(value) for value in re.findall(rf"^{name}\{{.*\}} (\S+)$", text, re.MULTILINE))


def test_metrics_of_five_calls(served: Served) -> None:
    for _ in range(5):
        answer = served.predict("custom-metrics", FIRST)
    assert answer["meta"]["metrics"] == [
        {"key": "mycounter", "type": "COUNTER", "value": 1},
        {"key": "mygauge", "type": "GAUGE", "value": 100},
        {"key": "mytimer", "type": "TIMER", "value": 20.2},
    ]
    text = served.until_shown("mytimer_sum")
    while total(text, "mytimer_count") < 5:
        text = served.until_shown("mytimer_sum")
    assert total(text, "mycounter_total") == 5
    assert set(re.findall(r"^mygauge\{.*\} (\S+)$", text, re.MULTILINE)) == {"100.0"}
    assert round(total(text, "mytimer_sum"), 9) == 0.101
    assert line("mycounter_total", "custom-metrics") + ',worker_id="' in text
    bounds = sorted({float(bound) for bound in re.findall(r'^mytimer_bucket\{.*le="([^"]+)"', text, re.MULTILINE)})
    assert (len(bounds), bounds[0], bounds[1], bounds[-2], bounds[-1]) == (52, 0, 0.001, 30, float("inf"))


def test_tags_become_labels(served: Served) -> None:
    served.predict("everything", SHAPED)
    text = served.until_shown("everything_rows_total")
    assert 'who="it"' in next(each for each in text.splitlines() if each.startswith("everything_rows_total{"))


def test_parameters_and_load(served: Served) -> None:
    answer = served.predict("everything", {"jsonData": {}})
    assert answer["jsonData"] == {"asked": {}, "loaded": True, "factor": 3, "note": "hello"}
    assert answer["meta"]["tags"]["note"] == "hello"


def test_feedback_reaches_the_class(served: Served) -> None:
    told = {"request": FIRST, "reward": 0.5, "truth": {"data": {"ndarray": [[2.0]]}}}
    assert served.feedback("everything", told)["data"]["ndarray"] == [[8.0, 0.5, 2.0]]
    assert served.feedback("custom-metrics", told) == {"meta": {}}


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ([{"key": "a b", "type": "COUNTER", "value": 1}], "invalid key 'a b': write letters, digits and underscores"),
        ([{"key": "a", "type": "SUM", "value": 1}], "invalid type 'SUM': write one of COUNTER, GAUGE, TIMER"),
        ([{"key": "a", "type": "GAUGE", "value": "1"}], "invalid value '1': write a number"),
        ([{"key": "a", "type": "COUNTER", "value": -1}], "invalid value -1: write a number that is not negative"),
        ([{"key": "a", "type": "GAUGE", "value": 1, "tags": {"a-b": "c"}}], "invalid tag 'a-b'"),
        ([{"key": "a", "type": "GAUGE", "value": 1, "tags": {"worker_id": "c"}}], "invalid tag 'worker_id'"),
        ([{"key": "two", "type": "GAUGE", "value": 1}, {"key": "two", "type": "TIMER", "value": 1}], "a GAUGE already"),
        ([{"key": "never", "type": "COUNTER", "value": 1}, 5], "invalid metric 5"),
        ({"a": 1}, "return a list of dicts"),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_refused_whole(served: Served, report: Any, sentence: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        served.predict("broken", {"jsonData": {"report": report}})
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert sentence in str(refused.value.details())
    assert "never" not in served.own_metrics()
    assert served.predict("broken", {"jsonData": {}})["jsonData"] == {"fine": True}


def test_errors_of_a_class_name_it(served: Served) -> None:
    with pytest.raises(grpc.RpcError) as own:
        served.predict("broken", {"strData": "short and stout"})
    assert own.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(own.value.details()).endswith("class Broken failed: Teapot: short and stout")
    with pytest.raises(grpc.RpcError, match="predict returned object: return an array, a list, str, bytes or a dict"):
        served.predict("broken", FIRST)


@pytest.fixture(scope="module")
def wrapper() -> Path:
    """The Python of an environment with the original wrapper, which is installed when it is not there."""
    command = [str(Home.of(os.environ).python("main")), "-m", "compose.process.install", "wrapper"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the package seldon-core cannot be installed: {done.stdout[-500:]} {done.stderr[-500:]}")
    return Home.of(os.environ).python("wrapper")


def test_the_original_wrapper_answers_the_same(served: Served, wrapper: Path) -> None:
    """The same files, one class after the other, on the same requests."""
    script = Path(__file__).with_name("wrapper_answers.py")
    names = {"mock-classifier": "MockClassifier", "custom-metrics": "ModelWithMetrics", "everything": "Everything"}
    arguments: dict[str, dict[str, Any]] = {"everything": {"factor": 3, "note": "hello"}}
    asked = [(str(MODELS[model][0]), name, arguments.get(model, {}), REQUESTS[model]) for model, name in names.items()]
    done = subprocess.run(
        [str(wrapper), str(script)], input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=120
    )
    theirs = dict(zip(names, json.loads(done.stdout.splitlines()[-1]), strict=True))
    ours = {model: [served.predict(model, request) for request in REQUESTS[model]] for model in names}
    for answer in theirs["everything"]:
        for metric in answer["meta"]["metrics"]:
            # It writes into the tags that the class reports which method it asked.
            assert metric.get("tags", {}).pop("method", "predict") == "predict"
    assert ours == theirs
