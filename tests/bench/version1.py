"""What the version 1 gateway adds to a call, against the same call in the Open Inference Protocol."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from rich.progress import Progress

from tests.bench.load import Sample, Target, run
from tests.bench.table import Row
from tests.system.deployment import Deployment

SAMPLES = ("mock-classifier.yaml", "halfplustwo.yaml")
_ROW = [1.0, 2.0, 5.0]


@dataclass(frozen=True, slots=True)
class Pair:
    """Runs of one call in both protocols, in turn."""

    name: str
    connections: int
    oip: list[Sample]
    version1: list[Sample]

    def ratio(self, value: Callable[[Sample], float]) -> float:
        return statistics.median(value(v1) / value(oip) for oip, v1 in zip(self.oip, self.version1, strict=True))

    def medians(self, value: Callable[[Sample], float]) -> tuple[float, float]:
        return statistics.median(map(value, self.oip)), statistics.median(map(value, self.version1))


def measure(deployment: Deployment, rounds: int, seconds: int, progress: Progress) -> list[Row]:
    """Deploys nothing but the sample models. Rows that inform: a protocol of the past has no bar."""
    for sample in SAMPLES:
        deployment.load_sample(sample)
    rows: list[Row] = []
    for name, oip, version1 in _targets(deployment):
        for connections in (1, 16):
            rows.append(_row(_compare(name, oip, version1, connections, rounds, seconds, progress)))
    return rows


def _targets(deployment: Deployment) -> list[tuple[str, Target, Target]]:
    gateway = f"http://127.0.0.1:{deployment.stack.port('V1_GATEWAY_HTTP_PORT')}"

    def oip(model: str, name: str, datatype: str, shape: list[int]) -> Target:
        tensor = {"name": name, "datatype": datatype, "shape": shape, "data": _ROW}
        return Target(
            "OIP", f"{deployment.data_url}/v2/models/{model}/infer", orjson.dumps({"inputs": [tensor]}), model
        )

    seldon = f"{gateway}/seldon/any/mock-classifier/api/v1.0/predictions"
    return [
        (
            "mock-classifier, Seldon protocol",
            oip("mock-classifier", "predict", "FP64", [1, 3]),
            Target("version 1", seldon, orjson.dumps({"data": {"ndarray": [_ROW]}})),
        ),
        (
            "halfplustwo, TensorFlow protocol",
            oip("halfplustwo", "INPUT", "FP32", [3]),
            Target("version 1", f"{gateway}/v1/models/halfplustwo:predict", orjson.dumps({"instances": _ROW})),
        ),
    ]


def _compare(
    name: str, oip: Target, version1: Target, connections: int, rounds: int, seconds: int, progress: Progress
) -> Pair:
    task = progress.add_task(f"{name}, {connections} connections", total=rounds)
    pair = Pair(name, connections, [], [])
    for target in (oip, version1):
        run(target, connections, 1)
    for _ in range(rounds):
        pair.oip.append(run(oip, connections, seconds))
        pair.version1.append(run(version1, connections, seconds))
        progress.advance(task)
    return pair


def _row(pair: Pair) -> Row:
    if pair.connections == 1:
        oip, version1 = pair.medians(_p50)
        details = f"{version1:.0f} µs, {oip:.0f} µs in the Open Inference Protocol"
        measure, value = "p50, 1 connection", pair.ratio(_p50)
    else:
        oip, version1 = pair.medians(_throughput)
        details = f"{version1:,.0f} req/s, {oip:,.0f} req/s in the Open Inference Protocol"
        measure, value = f"throughput, {pair.connections} connections", pair.ratio(_throughput)
    return Row("", f"version 1: {pair.name}, {measure}, port 8000 / port 9000", f"{value:.2f}", details=details)


def _p50(sample: Sample) -> float:
    return sample.p50


def _throughput(sample: Sample) -> float:
    return sample.throughput
