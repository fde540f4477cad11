"""Collections from a real gRPC server, and from a Kubernetes API over HTTPS."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from mlops.scheduler import scheduler_pb2 as pb

from services.hodometer.collection import Collection
from services.hodometer.core.fields import FIELDS, Level
from services.hodometer.settings import settings_of
from tests.hodometer.peers import (
    HOST,
    SchedulerPeer,
    Versions,
    Waits,
    environment,
    pipeline,
    replica,
    scheduler_on_port,
    server,
)
from tests.peers.ports import free_port

RESOURCE_CALLS = {"ModelStatus", "PipelineStatus", "ExperimentStatus", "ServerStatus"}
COUNTS = {
    "model_count": 2,
    "pipeline_count": 1,
    "experiment_count": 1,
    "server_count": 2,
    "server_replica_count": 5,
    "multimodel_enabled_count": 2,
    "overcommit_enabled_count": 1,
    "server_memory_gb_sum": 3.5,
}
OWN = {"collector_version": "0.1.0", "collector_git_commit": ""}


def full_scheduler() -> SchedulerPeer:
    return SchedulerPeer(
        version="2.10.0",
        models=[
            pb.ModelStatusResponse(modelName="iris"),
            pb.ModelStatusResponse(modelName="gone", deleted=True),
            pb.ModelStatusResponse(modelName="tfsimple"),
        ],
        pipelines=[pipeline("made", Versions.PipelineCreating), pipeline("ended", Versions.PipelineTerminated)],
        experiments=[pb.ExperimentStatusResponse(active=True), pb.ExperimentStatusResponse(active=False)],
        servers=[
            server(3, 1, replica(memory=2_000_000_000, over_commit=20, loaded=1)),
            server(-1, 2, replica(memory=1_000_000_000, loaded=2), replica(memory=500_000_000, loaded=1)),
            server(0, 0),
        ],
    )


async def collect(
    variables: dict[str, str], waits: Waits | None = None, account: Path = Path("/nowhere")
) -> dict[str, Any]:
    return await Collection(settings_of(variables), variables, waits or Waits(), account).collect()


async def test_everything_is_counted_with_the_documented_calls_only() -> None:
    peer = full_scheduler()
    async with scheduler_on_port(peer) as port:
        collected = await collect(environment(port))
    assert collected == {**OWN, "seldon_core_version": "2.10.0", **COUNTS}
    assert sorted(peer.methods) == sorted(
        f"/seldon.mlops.scheduler.Scheduler/{method}" for method in {*RESOURCE_CALLS, "SchedulerStatus"}
    )
    assert all(request.subscriberName == "hodometer" for _, request in peer.requests)
    (asked,) = [request for method, request in peer.requests if method == "PipelineStatus"]
    assert not asked.allVersions


@pytest.mark.parametrize(
    ("level", "calls"),
    [
        (Level.CLUSTER, {"SchedulerStatus"}),
        (Level.RESOURCE, {"SchedulerStatus", *RESOURCE_CALLS}),
        (Level.FEATURE, {"SchedulerStatus", *RESOURCE_CALLS}),
    ],
)
async def test_nothing_is_asked_that_the_level_does_not_send(level: Level, calls: set[str]) -> None:
    peer = full_scheduler()
    async with scheduler_on_port(peer) as port:
        await collect(environment(port, METRICS_LEVEL=level.name))
    assert {method for method, _ in peer.requests} == calls


@pytest.mark.parametrize(
    ("method", "source", "lost"),
    [
        ("SchedulerStatus", "scheduler status", {"seldon_core_version"}),
        ("ModelStatus", "models", {"model_count"}),
        ("PipelineStatus", "pipelines", {"pipeline_count"}),
        ("ExperimentStatus", "experiments", {"experiment_count"}),
        ("ServerStatus", "servers", {name for name in COUNTS if name.startswith(("server", "multi", "over"))}),
    ],
)
async def test_a_failing_call_costs_its_own_fields_and_one_line(
    method: str, source: str, lost: set[str], lines: list[dict[str, Any]]
) -> None:
    peer = full_scheduler()
    peer.failures[method] = [grpc.StatusCode.INTERNAL]
    async with scheduler_on_port(peer) as port:
        collected = await collect(environment(port))
    everything = {**OWN, "seldon_core_version": "2.10.0", **COUNTS}
    assert collected == {name: value for name, value in everything.items() if name not in lost}
    (error,) = [line for line in lines if line["log_level"] == "error"]
    assert error["source"] == source
    assert error["reason"] == "INTERNAL: as the test wants it"


async def test_what_the_scheduler_does_not_know_is_zero_and_no_error(lines: list[dict[str, Any]]) -> None:
    """As experiments are for one that has none."""
    peer = full_scheduler()
    peer.failures["ExperimentStatus"] = [grpc.StatusCode.UNIMPLEMENTED]
    async with scheduler_on_port(peer) as port:
        collected = await collect(environment(port))
    assert "experiment_count" not in collected
    assert "error" not in {line["log_level"] for line in lines}
    (line,) = [line for line in lines if line.get("source") == "experiments"]
    assert (line["event"], line["log_level"]) == ("unknown to this scheduler, sent as zero", "info")


async def test_a_scheduler_that_is_busy_is_asked_again_and_nothing_is_counted_twice() -> None:
    peer, waits = full_scheduler(), Waits()
    peer.failures = {"ModelStatus": [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]}
    async with scheduler_on_port(peer) as port:
        collected = await collect(environment(port), waits)
    assert collected["model_count"] == 2
    assert waits.seconds == [0.1, 0.2]


async def test_no_scheduler_at_all_ends_after_a_minute_with_a_line_for_each_call(lines: list[dict[str, Any]]) -> None:
    waits = Waits()
    assert await collect(environment(free_port()), waits) == OWN
    assert 5 * 45 < sum(waits.seconds) < 5 * 75
    sources = [line["source"] for line in lines if line["log_level"] == "error"]
    assert sorted(sources) == ["experiments", "models", "pipelines", "scheduler status", "servers"]


async def test_the_scheduler_over_tls_with_a_certificate_of_our_own(pem: Path) -> None:
    tls = {
        "CONTROL_PLANE_SECURITY_PROTOCOL": "SSL",
        "CONTROL_PLANE_CLIENT_TLS_KEY_LOCATION": str(pem / "key.pem"),
        "CONTROL_PLANE_CLIENT_TLS_CRT_LOCATION": str(pem / "crt.pem"),
        "CONTROL_PLANE_SERVER_TLS_CA_LOCATION": str(pem / "crt.pem"),
    }
    async with scheduler_on_port(full_scheduler(), pem) as port:
        variables = environment(port, **tls) | {"SCHEDULER_PLAINTXT_PORT": str(free_port())}
        assert (await collect(variables))["model_count"] == 2


async def test_certificates_that_went_away_cost_the_scheduler_and_one_line(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    names = ("CLIENT_TLS_KEY", "CLIENT_TLS_CRT", "CLIENT_TLS_CA")
    files = {f"CONTROL_PLANE_{name}_LOCATION": str(tmp_path / name) for name in names}
    variables = environment(1, CONTROL_PLANE_SECURITY_PROTOCOL="SSL", **files)
    assert await collect(variables) == OWN
    (error,) = [line for line in lines if line["log_level"] == "error"]
    assert error["source"] == "scheduler"
    assert "No such file" in error["reason"]


# -- Kubernetes ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def kubernetes_api(pem: Path, answer: web.Response) -> AsyncIterator[tuple[int, list[web.Request]]]:
    requests: list[web.Request] = []

    async def version(request: web.Request) -> web.Response:
        requests.append(request)
        return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", version)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem / "crt.pem", pem / "key.pem")
    port = free_port()
    await web.TCPSite(runner, HOST, port, ssl_context=context).start()
    try:
        yield port, requests
    finally:
        await runner.cleanup()


def service_account(pem: Path, folder: Path) -> Path:
    (folder / "token").write_text("secret\n")
    (folder / "ca.crt").write_bytes((pem / "crt.pem").read_bytes())
    return folder


def inside(scheduler_port: int, kubernetes_port: int) -> dict[str, str]:
    return environment(scheduler_port, KUBERNETES_SERVICE_HOST=HOST, KUBERNETES_SERVICE_PORT=str(kubernetes_port))


async def test_the_kubernetes_version_is_asked_with_the_service_account(pem: Path, tmp_path: Path) -> None:
    answer = web.json_response({"major": "1", "minor": "29", "gitVersion": "v1.29.3"})
    async with kubernetes_api(pem, answer) as (port, requests), scheduler_on_port(full_scheduler()) as scheduler_port:
        collected = await collect(inside(scheduler_port, port), account=service_account(pem, tmp_path))
    assert collected["kubernetes_version"] == "v1.29.3"
    (request,) = requests
    assert (request.method, request.path, request.headers["Authorization"]) == ("GET", "/version", "Bearer secret")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [(403, b"{}", "403"), (200, b"[]", "without gitVersion"), (200, b"no json", "JSONDecodeError")],
)
async def test_a_kubernetes_that_refuses_costs_its_version_and_one_line(
    status: int, body: bytes, reason: str, pem: Path, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    answer = web.Response(status=status, body=body)
    async with kubernetes_api(pem, answer) as (port, _), scheduler_on_port(full_scheduler()) as scheduler_port:
        collected = await collect(inside(scheduler_port, port), account=service_account(pem, tmp_path))
    assert collected == {**OWN, "seldon_core_version": "2.10.0", **COUNTS}
    (error,) = [line for line in lines if line["log_level"] == "error"]
    assert error["source"] == "kubernetes"
    assert reason in error["reason"]


async def test_outside_kubernetes_nobody_is_asked_for_its_version(lines: list[dict[str, Any]]) -> None:
    async with scheduler_on_port(full_scheduler()) as port:
        assert "kubernetes_version" not in await collect(environment(port))
    assert [line["log_level"] for line in lines] == ["warning"]


def test_collected_names_are_fields() -> None:
    assert {*OWN, *COUNTS, "seldon_core_version", "kubernetes_version", "cluster_id"} == {
        field.name for field in FIELDS
    } - {"gpu_enabled_count", "server_cpu_cores_sum"}
