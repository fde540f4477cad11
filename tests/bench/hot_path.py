"""P1 and P2: what the way through Envoy costs, against calling the inference server directly."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from rich.progress import Progress

from tests.bench.load import Sample, Target, run
from tests.bench.table import Row

IRIS = orjson.dumps({"inputs": [{"name": "predict", "shape": [1, 4], "datatype": "FP32", "data": [[1, 2, 3, 4]]}]})
TFSIMPLE = orjson.dumps(
    {
        "inputs": [
            {"name": name, "shape": [1, 16], "datatype": "INT32", "data": [list(range(1, 17))]}
            for name in ("INPUT0", "INPUT1")
        ]
    }
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs of the same load on three ways to one server; `bare` is an Envoy that only forwards."""

    direct: list[Sample]
    bare: list[Sample]
    mesh: list[Sample]

    def ratio(self, value: Callable[[Sample], float], way: list[Sample]) -> float:
        """Median over the rounds of way / direct."""
        return statistics.median(value(other) / value(direct) for direct, other in zip(self.direct, way, strict=True))


def compare(
    direct: Target, bare: Target, mesh: Target, connections: int, rounds: int, seconds: int, progress: Progress
) -> Comparison:
    """Runs in turn, so that whatever else the machine does hits all three alike."""
    task = progress.add_task(f"{direct.name}, bare Envoy and {mesh.name}, {connections} connections", total=rounds)
    result = Comparison([], [], [])
    for target in (direct, bare, mesh):
        run(target, connections, 1)
    for _ in range(rounds):
        result.direct.append(run(direct, connections, seconds))
        result.bare.append(run(bare, connections, seconds))
        result.mesh.append(run(mesh, connections, seconds))
        progress.advance(task)
    return result


def _p50(sample: Sample) -> float:
    return sample.p50


def _throughput(sample: Sample) -> float:
    return sample.throughput


def _medians(result: Comparison, value: Callable[[Sample], float]) -> tuple[float, float, float]:
    direct, bare, mesh = (
        statistics.median(value(sample) for sample in way) for way in (result.direct, result.bare, result.mesh)
    )
    return direct, bare, mesh


def latency_rows(result: Comparison) -> list[Row]:
    ratio, floor = result.ratio(_p50, result.mesh), result.ratio(_p50, result.bare)
    direct, bare, mesh = _medians(result, _p50)
    measure = "iris REST p50, port 9000 / MLServer direct, 1 connection"
    details = f"{mesh:.0f} µs through the system, {direct:.0f} µs direct"
    return [
        Row("P1", measure, f"{ratio:.2f}", "≤ 1.10", ratio <= 1.10, details),
        Row("", "the same through an Envoy that only forwards", f"{floor:.2f}", details=f"{bare:.0f} µs"),
    ]


def throughput_rows(result: Comparison) -> list[Row]:
    ratio, floor = result.ratio(_throughput, result.mesh), result.ratio(_throughput, result.bare)
    direct, bare, mesh = _medians(result, _throughput)
    measure = "tfsimple1 REST throughput, port 9000 / Triton direct, 16 connections"
    details = f"{mesh:,.0f} req/s through the system, {direct:,.0f} req/s direct"
    return [
        Row("P2", measure, f"{ratio:.2f}", "≥ 0.55", ratio >= 0.55, details),
        Row("", "the same through an Envoy that only forwards", f"{floor:.2f}", details=f"{bare:,.0f} req/s"),
    ]
