"""P1 and P2: what the way through Envoy costs, against calling the inference server directly."""

import statistics
from collections.abc import Callable

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


def interleave(
    direct: Target, mesh: Target, connections: int, rounds: int, seconds: int, progress: Progress
) -> list[tuple[Sample, Sample]]:
    """Pairs of runs, one after the other, so that whatever else the machine does hits both alike."""
    task = progress.add_task(f"{direct.name} and {mesh.name}, {connections} connections", total=rounds)
    pairs = []
    for target in (direct, mesh):
        run(target, connections, 1)
    for _ in range(rounds):
        pairs.append((run(direct, connections, seconds), run(mesh, connections, seconds)))
        progress.advance(task)
    return pairs


def _median(pairs: list[tuple[Sample, Sample]], value: Callable[[Sample], float]) -> tuple[float, float, float]:
    """Medians of: ratio mesh/direct, direct, mesh."""
    ratio = statistics.median(value(mesh) / value(direct) for direct, mesh in pairs)
    return ratio, statistics.median(value(d) for d, _ in pairs), statistics.median(value(m) for _, m in pairs)


def latency_row(pairs: list[tuple[Sample, Sample]]) -> Row:
    ratio, direct, mesh = _median(pairs, lambda sample: sample.p50)
    details = f"{mesh:.0f} µs through Envoy, {direct:.0f} µs direct"
    measure = "iris REST p50, Envoy / MLServer direct, 1 connection"
    return Row("P1", measure, f"{ratio:.2f}", "≤ 1.10", ratio <= 1.10, details)


def throughput_row(pairs: list[tuple[Sample, Sample]]) -> Row:
    ratio, direct, mesh = _median(pairs, lambda sample: sample.throughput)
    details = f"{mesh:,.0f} req/s through Envoy, {direct:,.0f} req/s direct"
    measure = "tfsimple1 REST throughput, Envoy / Triton direct, 16 connections"
    return Row("P2", measure, f"{ratio:.2f}", "≥ 0.55", ratio >= 0.55, details)
