"""Any process may be killed: traffic to loaded models goes on, and nothing has to be sent again."""

from collections.abc import Callable

import httpx
import pytest

from tests.system.deployment import Deployment

pytestmark = pytest.mark.system
Load = Callable[[str], str]


def _wait_restarted(deployment: Deployment, part: str, old_pid: int) -> None:
    def restarted() -> bool:
        row = next(row for row in deployment.stack.status() if row.part == part)
        return row.ready and row.pid != old_pid

    deployment.wait_for(restarted, f"{part} to be back")
    deployment.stack.wait_ready(timeout=60)


@pytest.mark.parametrize("part", ["scheduler", "agent-mlserver"])
def test_traffic_goes_on_without_an_error(deployment: Deployment, load: Load, part: str) -> None:
    load("sklearn-iris-gs.yaml")
    before = deployment.status("iris").version
    with deployment.requests_running("iris") as traffic:
        pid = deployment.stack.kill(part)
        traffic.wait_for_more(100)
        _wait_restarted(deployment, part, pid)
        traffic.wait_for_more(100)
    assert traffic.failures == []
    assert deployment.wait_state("iris", "ModelAvailable").version == before


@pytest.mark.parametrize("part", ["mlserver", "envoy"])
def test_a_killed_part_comes_back_with_its_models(deployment: Deployment, load: Load, part: str) -> None:
    """Requests in flight may fail, with a clear error; the next ones wait or work."""
    load("sklearn-iris-gs.yaml")
    with deployment.requests_running("iris", threads=2) as traffic:
        pid = deployment.stack.kill(part)
        _wait_restarted(deployment, part, pid)
        traffic.failures.clear()
        traffic.wait_for_more(100)
    assert traffic.failures == []
    assert deployment.state("iris") == "ModelAvailable"


def test_triton_killed_reloads_what_it_held(deployment: Deployment, load: Load) -> None:
    load("add10.yaml")
    pid = deployment.stack.kill("triton")
    body = {"inputs": [{"name": "INPUT", "datatype": "FP32", "shape": [4], "data": [1, 2, 3, 4]}]}
    answer = httpx.post(f"{deployment.data_url}/v2/models/add10/infer", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [11, 12, 13, 14]
    _wait_restarted(deployment, "triton", pid)


def test_everything_killed_at_once_and_desired_state_survives(deployment: Deployment, load: Load) -> None:
    load("sklearn-iris-gs.yaml")
    load("add10.yaml")
    pids = {part: deployment.stack.kill(part) for part in ("scheduler", "agent-mlserver", "agent-triton", "mlserver")}
    for part, pid in pids.items():
        _wait_restarted(deployment, part, pid)
    for model in ("iris", "add10"):
        deployment.wait_state(model, "ModelAvailable")
    with deployment.requests_running("iris", threads=1) as traffic:
        traffic.wait_for_more(20)
    assert traffic.failures == []
