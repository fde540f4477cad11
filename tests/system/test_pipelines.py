"""Every sample pipeline gives the answers that its description promises, over REST and over gRPC."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.system.calls import PROTOCOLS, Protocol, infer, tensor
from tests.system.deployment import ROOT, Deployment

pytestmark = [pytest.mark.system, pytest.mark.kafka]

V = list(range(1, 17))
E = [2 * v for v in V]
F = [4 * v for v in V]
Z = [0] * 16
ONES = [1] * 16
TENS = ["mul10.yaml", "add10.yaml"]
TFSIMPLES = ["tfsimple1.yaml", "tfsimple2.yaml"]


def pair(values: Sequence[int]) -> list[dict[str, Any]]:
    return [tensor(name, "INT32", [1, len(values)], values) for name in ("INPUT0", "INPUT1")]


def fp32(name: str, *values: float) -> dict[str, Any]:
    return tensor(name, "FP32", [4], values)


def int64(name: str, value: int) -> dict[str, Any]:
    return tensor(name, "INT64", [1], [value])


def flag(name: str) -> dict[str, Any]:
    return tensor(name, "BOOL", [1], [True])


def choice(number: int) -> list[dict[str, Any]]:
    return [tensor("choice", "INT32", [1], [number]), fp32("INPUT", 5, 6, 7, 8)]


def sample_inputs(file: str) -> list[dict[str, Any]]:
    inputs: list[dict[str, Any]] = json.loads((ROOT / "samples" / "requests" / file).read_text())["inputs"]
    return inputs


IRIS = [tensor("predict", "FP32", [1, 4], [1, 2, 3, 4])]
PLAIN = fp32("INPUT", 1, 2, 3, 4)
BOTH = [fp32("INPUT0", 1, 2, 3, 4), fp32("INPUT1", 1, 2, 3, 4)]


@dataclass(frozen=True)
class Case:
    """One request and the tensors, in order, that answer it."""

    file: str
    models: Sequence[str]
    inputs: Sequence[dict[str, Any]]
    expected: Sequence[tuple[str, list[Any]]]


@dataclass(frozen=True)
class Failure:
    """One request that has to end in an error which begins with, and contains, these texts."""

    file: str
    models: Sequence[str]
    inputs: Sequence[dict[str, Any]]
    start: str
    within: str


CASES = {
    "one step": Case("tfsimple.yaml", TFSIMPLES[:1], pair(V), [("OUTPUT0", E), ("OUTPUT1", Z)]),
    "chain": Case("tfsimples.yaml", TFSIMPLES, pair(V), [("OUTPUT0", E), ("OUTPUT1", E)]),
    "inputs of another step": Case("tfsimples-input.yaml", TFSIMPLES, pair(V), [("OUTPUT0", V), ("OUTPUT1", V)]),
    "join": Case("tfsimples-join.yaml", [*TFSIMPLES, "tfsimple3.yaml"], pair(V), [("OUTPUT0", E), ("OUTPUT1", E)]),
    "join with a trigger": Case(
        "tfsimples-join-outlier.yaml",
        [*TFSIMPLES, "tfsimple3.yaml", "check.yaml"],
        pair(ONES),
        [("OUTPUT0", [2] * 16), ("OUTPUT1", [2] * 16)],
    ),
    "condition, first branch": Case(
        "conditional.yaml",
        ["conditional.yaml", *TENS],
        [tensor("CHOICE", "INT32", [1], [0]), *BOTH],
        [("OUTPUT", [10, 20, 30, 40])],
    ),
    "condition, second branch": Case(
        "conditional.yaml",
        ["conditional.yaml", *TENS],
        [tensor("CHOICE", "INT32", [1], [1]), *BOTH],
        [("OUTPUT", [11, 12, 13, 14])],
    ),
    "one tensor for each step": Case(
        "pipeline-inputs.yaml", TENS, BOTH, [("OUTPUT", [10, 20, 30, 40]), ("OUTPUT", [11, 12, 13, 14])]
    ),
    "any of two triggers, the first": Case(
        "trigger-joins.yaml", TENS, [PLAIN, fp32("ok1", 1, 1, 1, 1)], [("OUTPUT", [10, 20, 30, 40])]
    ),
    "any of two triggers, the second": Case(
        "trigger-joins.yaml", TENS, [PLAIN, fp32("ok2", 1, 1, 1, 1)], [("OUTPUT", [10, 20, 30, 40])]
    ),
    "a trigger of another step": Case(
        "trigger-joins.yaml", TENS, [PLAIN, fp32("ok3", 1, 1, 1, 1)], [("OUTPUT", [11, 12, 13, 14])]
    ),
    "triggers from the inputs, one": Case(
        "triggers_join_inputs.yaml",
        ["join-node.yaml"],
        [int64("INPUT1", 1), int64("INPUT2", 1), flag("TRIGGER1")],
        [("OUTPUT1", [2])],
    ),
    "triggers from the inputs, both": Case(
        "triggers_join_inputs.yaml",
        ["join-node.yaml"],
        [int64("INPUT1", 1), int64("INPUT2", 1), flag("TRIGGER1"), flag("TRIGGER2")],
        [("OUTPUT1", [2])],
    ),
    "triggers from models, one": Case(
        "triggers_join_internal.yaml",
        ["join-node.yaml", "id1-node.yaml", "id2-node.yaml"],
        [int64("INPUT1", 1), int64("INPUT2", 1), flag("TRIGGER2")],
        [("OUTPUT1", [2])],
    ),
    "triggers from models, both": Case(
        "triggers_join_internal.yaml",
        ["join-node.yaml", "id1-node.yaml", "id2-node.yaml"],
        [int64("INPUT1", 1), int64("INPUT2", 1), flag("TRIGGER1"), flag("TRIGGER2")],
        [("OUTPUT1", [2])],
    ),
    "choice of one": Case(
        "choice.yaml", ["choice1.yaml", "choice2.yaml", *TENS], choice(1), [("OUTPUT", [50, 60, 70, 80])]
    ),
    "choice of two": Case(
        "choice.yaml", ["choice1.yaml", "choice2.yaml", *TENS], choice(2), [("OUTPUT", [15, 16, 17, 18])]
    ),
    "a model that could fail": Case("error.yaml", ["outlier-error.yaml"], [PLAIN], [("OUTPUT", [10, 20, 30, 40])]),
    "a trigger that could fail": Case(
        "outlier.yaml", ["outlier-error.yaml", "add10.yaml"], [PLAIN], [("OUTPUT", [11, 12, 13, 14])]
    ),
    "add10": Case("add10.yaml", ["add10.yaml"], [PLAIN], [("OUTPUT", [11, 12, 13, 14])]),
    "mul10": Case("mul10.yaml", ["mul10.yaml"], [PLAIN], [("OUTPUT", [10, 20, 30, 40])]),
    "beside it a drift detector": Case(
        "iris-async-drift.yaml",
        ["sklearn1.yaml", "iris-drift-detect.yaml"],
        sample_inputs("iris-two.json"),
        [("predict", [2, 2]), ("is_drift", [1])],
    ),
    "classifier, drift and outliers": Case(
        "income.yaml",
        ["income.yaml", "income-preprocess.yaml", "income-drift.yaml", "income-outlier.yaml"],
        sample_inputs("income.json"),
        [("predict", [0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1]), ("is_outlier", [0] * 20)],
    ),
    "iris": Case("iris.yaml", ["sklearn1.yaml"], IRIS, [("predict", [2])]),
}

FAILURES = {
    "wrong shape": Failure(
        "tfsimples.yaml",
        TFSIMPLES,
        [tensor("INPUT0", "INT32", [1, 20], range(20)), tensor("INPUT1", "INT32", [1, 16], V)],
        "tfsimple1 : rpc error: code = InvalidArgument desc = ",
        "unexpected shape for input 'INPUT0' for model 'tfsimple1_",
    ),
    "a trigger's model fails": Failure(
        "tfsimples-join-outlier.yaml",
        [*TFSIMPLES, "tfsimple3.yaml", "check.yaml"],
        pair(V),
        "check : rpc error: code = Internal desc = ",
        "Outlier",
    ),
    "a model fails": Failure(
        "error.yaml",
        ["outlier-error.yaml"],
        [fp32("INPUT", 100, 2, 3, 4)],
        "outlier-error : rpc error: code = Internal desc = ",
        "Outlier. Input sums to greater than 100",
    ),
    "no trigger": Failure("trigger-joins.yaml", TENS, [PLAIN], "trigger-joins : ", "ok"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_answer_of_a_sample_pipeline(deployment: Deployment, case: Case, protocol: Protocol) -> None:
    name = deployment.load_pipeline_sample(case.file, *case.models)
    answer = infer(deployment, protocol, f"{name}.pipeline", case.inputs)
    assert answer.ok, answer
    assert [(tensor, data) for tensor, _, _, data in answer.tensors] == list(case.expected)
    assert answer.model_name == ""
    assert f":{name}.pipeline:" in answer.headers["x-seldon-route"]
    deployment.unload_pipeline(name)


CODES = {"InvalidArgument": (400, "INVALID_ARGUMENT"), "Internal": (500, "INTERNAL"), "Unknown": (400, "UNKNOWN")}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_the_error_of_a_sample_pipeline(deployment: Deployment, case: Failure, protocol: Protocol) -> None:
    name = deployment.load_pipeline_sample(case.file, *case.models)
    answer = infer(deployment, protocol, f"{name}.pipeline", case.inputs)
    # A model's own error keeps its code; what a pipeline brings about itself has none.
    code = next((each for each in CODES if f"code = {each} " in answer.error), "Unknown")
    assert answer.status == CODES[code][protocol == "grpc"]
    assert answer.error.startswith(case.start)
    assert case.within in answer.error
    deployment.unload_pipeline(name)
