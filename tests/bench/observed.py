"""What being seen costs: the same routes and server behind an Envoy with metrics and 1 % tracing, and one without."""

import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import yaml
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from rich.progress import Progress

from compose.process import rendering, tracing
from compose.process.home import REPOSITORY
from compose.process.settings import Settings
from tests.bench.load import Sample, Target, run
from tests.bench.table import Row
from tests.peers.mesh import envoy_binary, envoy_environment
from tests.peers.ports import free_port
from tests.system.deployment import Deployment

_ENVOY: Final = REPOSITORY / "compose" / "envoy"
_RATIO: Final = "0.01"
_MOST: Final = 0.15
_CONNECTIONS: Final = 16
_START_SECONDS: Final = 30


class _Sink(otlp_grpc.TraceServiceServicer):
    """A collector that only counts."""

    def __init__(self) -> None:
        self.spans = 0

    def Export(self, request: otlp.ExportTraceServiceRequest, _context: Any) -> otlp.ExportTraceServiceResponse:
        self.spans += sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
        return otlp.ExportTraceServiceResponse()


def measure(deployment: Deployment, body: bytes, rounds: int, seconds: int, progress: Progress) -> list[Row]:
    """`body` is a request for the model tfsimple1, which is loaded. Runs in turn, as everywhere here."""
    task = progress.add_task("metrics and 1 % tracing, against neither", total=rounds)
    seen: list[Sample] = []
    unseen: list[Sample] = []
    with _collector() as (sink, endpoint), contextlib.ExitStack() as stack:
        targets = [
            Target(name, stack.enter_context(_envoy(deployment, endpoint, observed, body)), body, "tfsimple1")
            for name, observed in (("observed", True), ("unobserved", False))
        ]
        for target in targets:
            run(target, _CONNECTIONS, 1)
        for _ in range(rounds):
            seen.append(run(targets[0], _CONNECTIONS, seconds))
            unseen.append(run(targets[1], _CONNECTIONS, seconds))
            progress.advance(task)
        spans = sink.spans
    pairs = zip(seen, unseen, strict=True)
    cost = 1 - statistics.median(with_it.throughput / without.throughput for with_it, without in pairs)
    rates = [statistics.median(sample.throughput for sample in way) for way in (seen, unseen)]
    details = f"{rates[0]:,.0f} req/s with, {rates[1]:,.0f} req/s without; {spans} spans came to the collector"
    return [
        Row(
            "",
            "metrics and 1 % tracing: share of hot-path throughput, 16 connections",
            f"{cost:.1%}",
            f"< {_MOST:.0%}",
            cost < _MOST,
            details,
        )
    ]


@contextlib.contextmanager
def _collector() -> Iterator[tuple[_Sink, str]]:
    sink, server = _Sink(), grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    otlp_grpc.add_TraceServiceServicer_to_server(sink, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield sink, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def _envoy(deployment: Deployment, collector: str, observed: bool, body: bytes) -> Iterator[str]:
    """A further Envoy of this deployment, with the scheduler's routes; yields the URL of the model."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        bootstrap = Path(folder) / "envoy.yaml"
        bootstrap.write_text(_bootstrap(deployment.stack.settings, port, collector, observed))
        command = [envoy_binary(), "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
        process = subprocess.Popen(command, env=envoy_environment(), stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}/v2/models/tfsimple1/infer"
            _wait(url, body)
            yield url
        finally:
            process.terminate()
            process.wait()


def _bootstrap(settings: Settings, port: int, collector: str, observed: bool) -> str:
    traced = Settings(
        {
            **settings.values,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector if observed else "",
            "TRACING_RATIO": _RATIO,
            "TRACING_DISABLE": "false",
        }
    )
    ports = {name: str(free_port()) for name in ("ENVOY_CONTROL_PORT", "ENVOY_ADMIN_PORT")}
    values = {
        **settings.values,
        **ports,
        "ENVOY_DATA_PORT": str(port),
        "ENVOY_BIND_HOST": "127.0.0.1",
        "ENVOY_LUA_DIR": str(_ENVOY),
        "SCHEDULER_XDS_HOST": settings.host,
        "V1_GATEWAY_HOST": settings.host,
        **tracing.envoy_values(traced),
    }
    configuration = yaml.safe_load(rendering.envoy((_ENVOY / "envoy.yaml").read_text(), values))
    if not observed:
        for listener in configuration["static_resources"]["listeners"]:
            listener["filter_chains"][0]["filters"][0]["typed_config"].pop("access_log", None)
    return yaml.safe_dump(configuration)


def _wait(url: str, body: bytes) -> None:
    deadline = time.monotonic() + _START_SECONDS
    headers = {"Seldon-Model": "tfsimple1", "Content-Type": "application/json"}
    with httpx.Client(trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if client.post(url, content=body, headers=headers).status_code == 200:
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url} did not answer within {_START_SECONDS} s")
            time.sleep(0.05)
