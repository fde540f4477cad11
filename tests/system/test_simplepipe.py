"""A model that is trained by one user's job and served by the system, side by side in one dashboard."""

import subprocess
from pathlib import Path

import pytest

from tests.peers.dashboards import queries
from tests.peers.prometheus import Prometheus
from tests.simplepipe.environment import Environment, clean, installed
from tests.system.calls import PROTOCOLS, infer, tensor
from tests.system.deployment import Deployment

pytestmark = [pytest.mark.system, pytest.mark.monitoring]
SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "simplepipe"
MODEL = "trained-iris"
IRIS = {"storageUri": "samples://iris", "requirements": ["sklearn"], "memory": "100Ki"}
FLOWER = [tensor("predict", "FP32", [1, 4], [1, 2, 3, 4])]


@pytest.fixture(scope="module")
def environment() -> Environment:
    return installed()


def gateway(deployment: Deployment, user: str) -> str:
    return f"http://127.0.0.1:{deployment.stack.port(f'PUSHGATEWAY_{user.upper()}_PORT')}"


def test_both_pushgateways_are_parts_of_the_deployment(deployment: Deployment) -> None:
    rows = {row.part: row for row in deployment.stack.status()}
    for user in ("alice", "bob"):
        assert rows[f"pushgateway-{user}"].ready
        assert rows[f"pushgateway-{user}"].ports == (deployment.stack.port(f"PUSHGATEWAY_{user.upper()}_PORT"),)


def test_training_is_seen_beside_serving(deployment: Deployment, environment: Environment, tmp_path: Path) -> None:
    """alice trains while her model serves, bob pushes a file; every panel of both dashboards has data meanwhile."""
    watched = Prometheus(f"http://127.0.0.1:{deployment.stack.port('PROMETHEUS_PORT')}")
    deployment.load_manifest(IRIS, MODEL)
    deployment.wait_state(MODEL, "ModelAvailable")
    run_those_of_bob(environment, gateway(deployment, "bob"), tmp_path)
    training = [str(environment.python), str(SAMPLES / "train.py"), "--gateway",
                gateway(deployment, "alice"), "--model", MODEL, "--epochs", "100000"]  # fmt: skip
    without = set(queries("data_science"))
    with subprocess.Popen(training, env=clean({}), cwd=tmp_path) as trains:
        try:
            ask(deployment)
            # A counter that begins at its last value never grew, and has no rate.
            assert watched.until(lambda: bool(watched.ask(f'seldon_model_infer_total{{model="{MODEL}"}}')))

            def all_answered() -> bool:
                ask(deployment)
                without.difference_update({query for query in without if watched.ask(query.expression)})
                return not without

            watched.until(all_answered, 120)
            assert without == set()
            assert trains.poll() is None
        finally:
            trains.terminate()
    (accuracy,) = watched.ask(f'model_accuracy_ratio{{model="{MODEL}"}}')
    assert (accuracy["metric"]["user"], accuracy["metric"]["job"]) == ("alice", "train")
    served = watched.value(f'sum(seldon_model_infer_total{{model="{MODEL}",code=~"200|OK"}})')
    assert served > 0
    deployment.unload(MODEL)


def run_those_of_bob(environment: Environment, url: str, where: Path) -> None:
    """The samples that end."""
    commands = (
        ("python", str(SAMPLES / "count_images.py"), "metrics.json"),
        ("simplepipe", "push", "metrics.json", "count-images"),
        ("python", str(SAMPLES / "measured.py"), url),
    )
    for command in commands:
        done = environment.run(*command, where=where, env={"PUSH_GATEWAY_HOSTNAME": url})
        assert done.code == 0, done.stderr


def ask(deployment: Deployment) -> None:
    for protocol in PROTOCOLS:
        assert infer(deployment, protocol, MODEL, FLOWER).ok
