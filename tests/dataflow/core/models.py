"""The models of the samples, as far as pipelines can tell them from the real ones."""

from typing import Any

import numpy as np

from tests.dataflow.core.world import Model, ModelError, Tensors

OUTLIER = "rpc error: code = Internal desc = Outlier. Input sums to greater than 100"


def _simple(tensors: Tensors) -> Tensors:
    first, second = np.array(tensors["INPUT0"]), np.array(tensors["INPUT1"])
    if first.shape[1] != 16:
        raise ModelError(f"rpc error: code = InvalidArgument desc = Expected [-1,16], got {list(first.shape)}")
    return {"OUTPUT0": first + second, "OUTPUT1": first - second}


def _floats(values: Any) -> Any:
    return np.array(values, dtype=np.float32)


def _add(number: int) -> Model:
    return lambda tensors: {"OUTPUT": _floats(tensors["INPUT"]) + number}


def _times10(tensors: Tensors) -> Tensors:
    return {"OUTPUT": _floats(tensors["INPUT"]) * 10}


def _conditional(tensors: Tensors) -> Tensors:
    chosen = int(tensors["CHOICE"][0])
    return {f"OUTPUT{chosen}": _floats(tensors[f"INPUT{chosen}"])}


def _outlier(tensors: Tensors) -> Tensors:
    if np.sum(tensors["INPUT"]) > 100:
        raise ModelError(OUTLIER)
    return _times10(tensors)


def _check(tensors: Tensors) -> Tensors:
    if np.sum(tensors["INPUT"]) > 100:
        raise ModelError(OUTLIER)
    return {"OUTPUT": np.array(tensors["INPUT"])}


def _choice_is(number: int) -> Model:
    def choose(tensors: Tensors) -> Tensors:
        columns = tensors if tensors["choice"] == [number] else {}
        return {**columns, "status": [b"ok"]}

    return choose


def _counter(tensors: Tensors) -> Tensors:
    count = np.array(tensors.get("output", tensors.get("counter"))) + 1
    return {"output": count, "continue" if count.item() < 10 else "stop": [[b""]]}


def _iris(tensors: Tensors) -> Tensors:
    return {"predict": np.full((len(tensors["predict"]), 1), 2)}


def _same(tensors: Tensors) -> Tensors:
    return tensors


MODELS: dict[str, Model] = {
    "tfsimple1": _simple,
    "tfsimple2": _simple,
    "tfsimple3": _simple,
    "add10": _add(10),
    "add20": _add(20),
    "mul10": _times10,
    "conditional": _conditional,
    "outlier-error": _outlier,
    "check": _check,
    "join-node": lambda tensors: {"OUTPUT1": np.array(tensors["INPUT1"]) + np.array(tensors["INPUT2"])},
    "id1-node": lambda tensors: {"OUTPUT1": np.array(tensors["INPUT1"])},
    "id2-node": lambda tensors: {"OUTPUT1": np.array(tensors["INPUT1"])},
    "choice-is-one": _choice_is(1),
    "choice-is-two": _choice_is(2),
    "counter": _counter,
    "identity-loop": _same,
    "identity-output": _same,
    "iris": _iris,
    "iris-drift-detect": lambda tensors: {"is_drift": np.zeros((1,), int)},
}
