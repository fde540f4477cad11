"""Probes tell what a service has lost, while the service itself lives on."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from shared.health import look
from tests.system.deployment import IRIS_REQUEST, Deployment

pytestmark = [pytest.mark.system, pytest.mark.kafka]

PORTS = {
    "scheduler": "SCHEDULER_HEALTH_PORT",
    "agent-mlserver": "AGENT_MLSERVER_READINESS_PORT",
    "agent-triton": "AGENT_TRITON_READINESS_PORT",
    "modelgateway": "MODELGATEWAY_HEALTH_PORT",
    "pipelinegateway": "PIPELINEGATEWAY_METRICS_PORT",
    "dataflow": "DATAFLOW_HEALTH_PORT",
}
TFSIMPLE_REQUEST = {
    "inputs": [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "data": list(range(16))} for name in ("INPUT0", "INPUT1")
    ]
}
KAFKA_CLIENTS = {"modelgateway", "pipelinegateway", "dataflow"}
Stop = Callable[[str], None]


@pytest.fixture
def stop(deployment: Deployment) -> Iterator[Stop]:
    """Stop a part until the end of the test; everything is ready again then."""
    stopped: list[str] = []

    def stop_part(part: str) -> None:
        stopped.append(part)
        deployment.stack.stop(part)

    yield stop_part
    for part in stopped:
        deployment.stack.start(part)
    deployment.stack.wait_ready(timeout=120)


def _url(deployment: Deployment, service: str, path: str) -> str:
    return f"http://127.0.0.1:{deployment.stack.port(PORTS[service])}{path}"


def _waiting_for(deployment: Deployment, service: str) -> dict[str, str]:
    answer = httpx.get(_url(deployment, service, "/ready"), timeout=10, trust_env=False)
    told = answer.json()
    assert answer.status_code == (503 if told["waiting_for"] else 200)
    assert told["ready"] is not bool(told["waiting_for"])
    waiting: dict[str, str] = told["waiting_for"]
    return waiting


def test_answers_go_on_while_the_scheduler_is_away(deployment: Deployment, stop: Stop) -> None:
    deployment.load_sample("sklearn-iris-gs.yaml")
    pipeline = deployment.load_pipeline_sample("tfsimple.yaml", "tfsimple1.yaml")
    stop("scheduler")
    with httpx.Client(base_url=deployment.data_url, timeout=60, trust_env=False) as client:
        for _ in range(10):
            assert client.post("/v2/models/iris/infer", json=IRIS_REQUEST).status_code == 200
            answer = client.post(f"/v2/pipelines/{pipeline}/infer", json=TFSIMPLE_REQUEST)
            assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("lost", "missed_by", "said"),
    [
        ("scheduler", set(PORTS) - {"scheduler"}, "scheduler at "),
        # Last: one that kept nothing makes its clients start anew, a while after it is back.
        ("kafka", KAFKA_CLIENTS, "kafka at "),
    ],
)
def test_ready_names_the_lost_part(
    deployment: Deployment, stop: Stop, lost: str, missed_by: set[str], said: str
) -> None:
    stop(lost)
    left = set(PORTS) - {lost}
    for service in sorted(missed_by):
        deployment.wait_for(
            lambda service=service: set(_waiting_for(deployment, service)) == {lost},  # type: ignore[misc]
            f"{service} to miss {lost}",
        )
        assert said in _waiting_for(deployment, service)[lost]
        assert look(_url(deployment, service, "/ready"))[0] is False
    for service in sorted(left):
        for path in ("/live", "/startup"):
            assert httpx.get(_url(deployment, service, path), timeout=10, trust_env=False).status_code == 200
    for service in sorted(left - missed_by):
        assert _waiting_for(deployment, service) == {}


def test_everything_is_ready_again(deployment: Deployment) -> None:
    """Soon: what a container's health says is some seconds old."""
    for service in PORTS:
        deployment.wait_for(
            lambda service=service: look(_url(deployment, service, "/ready"))[0],  # type: ignore[misc]
            f"{service} to be ready",
        )
