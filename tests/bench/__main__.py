"""Measure and print. `python -m tests.bench --help` shows what can be chosen."""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import Progress

from compose.process.broker import config_file as broker_config
from compose.process.stack import Stack
from shared.kafka.config import KafkaConfig, load_config
from tests.bench import hot_path, joins, loading, observed, pipelines, scale, version1
from tests.bench.bare_envoy import bare_envoy
from tests.bench.idle import idle_rows
from tests.bench.load import Target, require_generator
from tests.bench.table import Row, as_data, show
from tests.system.deployment import Deployment

ROOT = Path(__file__).resolve().parents[2]
PORT_OFFSET = 10_000
OURS = ("scheduler", "agent-mlserver", "agent-triton", "dataflow", "modelgateway", "pipelinegateway")
THEIRS = ("kafka", "envoy", "mlserver", "triton")
BROKERS = {"tansu": "Tansu", "apache": "Apache Kafka"}
PARTS = ("models", "version1", "pipelines", "scale")
LOADING = "loading"
"""Also measured with the pipelines."""
SAMPLES = ("sklearn-iris-gs.yaml", "tfsimple1.yaml", "add10.yaml")


def main() -> None:
    chosen = _arguments()
    if set(chosen.parts) - {"scale", LOADING}:
        require_generator()
    console = Console(stderr=True)
    rows: list[Row] = []
    with Progress(console=console) as progress:
        if "models" in chosen.parts:
            with _deployment(console, "tansu") as deployment:
                rows += _models(deployment, chosen.rounds, chosen.seconds, progress)
        if "version1" in chosen.parts:
            with _deployment(console, "tansu") as deployment:
                rows += version1.measure(deployment, chosen.rounds, chosen.seconds, progress)
        if "pipelines" in chosen.parts:
            for broker in BROKERS:
                with _deployment(console, broker) as deployment:
                    rows += _pipelines(deployment, broker, chosen.rounds, chosen.seconds, progress)
        elif LOADING in chosen.parts:
            for broker in BROKERS:
                with _deployment(console, broker) as deployment:
                    deployment.load_sample(SAMPLES[1])
                    config = load_config(broker_config(deployment.stack.home), "", {})
                    rows += _loading(deployment, config, broker, chosen.rounds, progress)
        if "scale" in chosen.parts:
            rows += scale.scale_rows(asyncio.run(scale.measure(progress)))
    if chosen.output == "json":
        sys.stdout.buffer.write(orjson.dumps(as_data(rows), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        show(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="pairs of runs of each ratio; its median counts")
    parser.add_argument("--seconds", type=int, default=3, help="length of one run")
    parser.add_argument(
        "--parts", nargs="+", choices=(*PARTS, LOADING), default=PARTS, help="what to measure; all unless named"
    )
    parser.add_argument("--output", choices=("table", "json"), default="table")
    return parser.parse_args()


@contextlib.contextmanager
def _deployment(console: Console, broker: str) -> Iterator[Deployment]:
    """A deployment of its own, on ports of its own, so that one that a person runs is neither used nor disturbed."""
    home = ROOT / ".seldon"
    stack = Stack(home / "bench", PORT_OFFSET, {"KAFKA": broker}, installed_in=home)
    stack.down(purge=True)
    try:
        stack.up()
        stack.wait_ready(report=console.print)
        yield Deployment(stack)
    finally:
        stack.down()


def _models(deployment: Deployment, rounds: int, seconds: int, progress: Progress) -> list[Row]:
    for sample in SAMPLES:
        deployment.load_sample(sample)
    rows = _hot_path(deployment, rounds, seconds, progress)
    rows += observed.measure(deployment, hot_path.TFSIMPLE, rounds, seconds, progress)
    task = progress.add_task("idle", total=1)
    pids = {part: deployment.stack.pid(part) for part in (*OURS, *THEIRS)}
    rows += idle_rows({p: pids[p] for p in OURS}, {p: pids[p] for p in THEIRS})
    progress.update(task, completed=1)
    return rows


def _pipelines(deployment: Deployment, broker: str, rounds: int, seconds: int, progress: Progress) -> list[Row]:
    pipelines.prepare(deployment)
    config = load_config(broker_config(deployment.stack.home), "", {})
    measured = asyncio.run(pipelines.measure(deployment, config, rounds, seconds, progress))
    joined = asyncio.run(joins.measure(config, rounds, progress))
    loaded = _loading(deployment, config, broker, rounds, progress)
    name = BROKERS[broker]
    return [
        *pipelines.latency_rows(measured, name),
        *joins.join_rows(joined, name),
        *pipelines.throughput_rows(measured, name),
        *loaded,
    ]


def _loading(deployment: Deployment, config: KafkaConfig, broker: str, rounds: int, progress: Progress) -> list[Row]:
    answers = loading.first_answers(deployment, rounds, progress)
    return loading.rows(answers, asyncio.run(loading.loads(config, progress)), BROKERS[broker])


def _hot_path(deployment: Deployment, rounds: int, seconds: int, progress: Progress) -> list[Row]:
    def measure(model: str, body: bytes, server: str, port_name: str, connections: int) -> hot_path.Comparison:
        port = deployment.stack.port(port_name)
        path = f"/v2/models/{model}_{deployment.status(model).version}/infer"
        with bare_envoy(port) as bare_port:
            return hot_path.compare(
                Target(server, f"http://127.0.0.1:{port}{path}", body),
                Target("bare Envoy", f"http://127.0.0.1:{bare_port}{path}", body),
                Target("the system", f"{deployment.data_url}/v2/models/{model}/infer", body, model),
                connections,
                rounds,
                seconds,
                progress,
            )

    iris = measure("iris", hot_path.IRIS, "MLServer", "SERVER_MLSERVER_HTTP_PORT", 1)
    tfsimple = measure("tfsimple1", hot_path.TFSIMPLE, "Triton", "SERVER_TRITON_HTTP_PORT", 16)
    return [*hot_path.latency_rows(iris), *hot_path.throughput_rows(tfsimple)]


if __name__ == "__main__":
    main()
