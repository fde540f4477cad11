"""Versions replace each other without a failed request; a version that does not work replaces nothing."""

import json
from collections.abc import Callable

import httpx
import pytest

from tests.system.deployment import Deployment

pytestmark = pytest.mark.system
Load = Callable[[str], str]
IRIS_SPEC = {"storageUri": "samples://iris", "requirements": ["sklearn"], "memory": "100Ki"}


def test_a_changed_spec_takes_over_under_load(deployment: Deployment) -> None:
    name = "updated"
    deployment.load_manifest(IRIS_SPEC, name)
    deployment.wait_state(name, "ModelAvailable")
    with deployment.requests_running(name) as traffic:
        assert set(traffic.routes) == {f":{name}_1:"}
        deployment.load_manifest(IRIS_SPEC | {"memory": "200Ki"}, name)
        traffic.wait_for_route(f":{name}_2:")
        traffic.wait_for_more(200)
    assert traffic.failures == []
    deployment.wait_state(name, "ModelAvailable")
    deployment.unload(name)


@pytest.mark.parametrize(
    ("change", "state", "cause"),
    [
        ({"storageUri": "samples://no-such-folder"}, "ModelFailed", "no-such-folder"),
        ({"requirements": ["sklearn", "foobar"]}, "ScheduleFailed", "lacks capability foobar"),
        ({"memory": "1G"}, "ScheduleFailed", "needs 1000000000 bytes"),
        ({"server": "nowhere"}, "ScheduleFailed", "the model asks for server 'nowhere'"),
    ],
)
def test_a_version_that_cannot_run_leaves_the_old_one_serving(
    deployment: Deployment, change: dict[str, object], state: str, cause: str
) -> None:
    name = "kept"
    deployment.load_manifest(IRIS_SPEC, name)
    deployment.wait_state(name, "ModelAvailable")
    with deployment.requests_running(name) as traffic:
        deployment.load_manifest(IRIS_SPEC | change, name)
        status = deployment.wait_state(name, state)
        assert cause in status.state.reason
        assert "tried again" in status.state.reason
        traffic.wait_for_more(50)
    assert traffic.failures == []
    assert len(traffic.routes) == 1
    explained = json.loads(deployment.seldon("explain", "model", name, "--output", "json").stdout)
    assert cause in explained["reason"]
    assert explained["routed_version"] == status.version - 1
    deployment.unload(name)


def test_an_unloaded_model_is_gone_and_can_come_back(deployment: Deployment, load: Load) -> None:
    load("sklearn1.yaml")
    deployment.unload("iris")
    url = f"{deployment.data_url}/v2/models/iris/ready"
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 404
    assert "iris" in answer.json()["error"]
    assert load("sklearn1.yaml") == "iris"
    assert httpx.get(url, trust_env=False).status_code == 200


def test_the_versions_of_the_rolling_update_sample(deployment: Deployment, load: Load) -> None:
    versions = []
    for number in (1, 2, 3):
        assert load(f"iris-v{number}.yaml") == "iris"
        versions.append(deployment.status("iris").version)
    assert versions == sorted(set(versions))
