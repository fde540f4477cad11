"""Usage metrics of the running system: they are true, anonymous and as few as promised, and nothing needs them."""

import base64
import json
import os
import socket
from collections.abc import Callable, Iterator
from uuid import UUID

import grpc
import httpx
import pytest
import yaml
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from tests.peers.ports import free_port
from tests.system.conftest import PROFILES
from tests.system.deployment import Deployment
from tests.system.usage import collector, event_of_a_new_start, events, id_of, receiver

pytestmark = pytest.mark.system
IRIS = {"storageUri": "samples://iris", "requirements": ["sklearn"], "memory": "10Ki"}
ADDING = {"storageUri": "samples://tfsimple", "requirements": ["triton", "python"], "memory": "10Ki"}
MODELS = {"told-iris": IRIS, "told-adding": ADDING}
PIPELINE = "told-flow"
CLUSTER_ID = "7d8e1a0e-8d54-4c63-9c2f-5f5b6b1d6f11"
ENVELOPE = {"token", "distinct_id", "ip", "time", "$insert_id"}
ALWAYS = {"collector_version", "collector_git_commit", "cluster_id", "seldon_core_version", "kubernetes_version"}
RESOURCE = {"model_count", "pipeline_count", "experiment_count", "server_count", "server_replica_count"}
FEATURE = {
    "multimodel_enabled_count", "overcommit_enabled_count", "gpu_enabled_count", "server_cpu_cores_sum",
    "server_memory_gb_sum",
}  # fmt: skip


def pipeline(name: str, step: str) -> str:
    spec = {"steps": [{"name": step}], "output": {"steps": [step]}}
    header = {"apiVersion": "mlops.seldon.io/v1alpha1", "kind": "Pipeline", "metadata": {"name": name}}
    return yaml.safe_dump({**header, "spec": spec})


@pytest.fixture(scope="module")
def loaded(deployment: Deployment) -> Iterator[None]:
    """Two models and a pipeline."""
    for name, spec in MODELS.items():
        deployment.load_manifest(spec, name)
    for name in MODELS:
        deployment.wait_state(name, "ModelAvailable")
    deployment.load_pipeline(pipeline(PIPELINE, "told-adding"))
    yield
    deployment.unload_pipeline(PIPELINE)
    for name in MODELS:
        deployment.unload(name)


def listed(deployment: Deployment) -> dict[str, float]:
    """What the scheduler itself says, in terms of the event."""
    with grpc.insecure_channel(deployment.scheduler_address) as channel:
        scheduler = scheduler_pb2_grpc.SchedulerStub(channel)
        models = [model for model in scheduler.ModelStatus(pb.ModelStatusRequest()) if not model.deleted]
        pipelines = [flow.versions[-1].state.status for flow in scheduler.PipelineStatus(pb.PipelineStatusRequest())]
        servers = list(scheduler.ServerStatus(pb.ServerStatusRequest()))
    replicas = [replica for server in servers for replica in server.resources]
    return {
        "model_count": len(models),
        "pipeline_count": pipelines.count(pb.PipelineVersionState.PipelineReady),
        "server_count": len(servers),
        "server_replica_count": len(replicas),
        "overcommit_enabled_count": sum(replica.overCommitPercentage > 0 for replica in replicas),
        "server_memory_gb_sum": sum(replica.totalMemoryBytes for replica in replicas) / 1e9,
    }


def test_an_event_has_the_documented_keys_and_nothing_that_identifies(deployment: Deployment, loaded: None) -> None:
    event = event_of_a_new_start(deployment)
    properties = event["properties"]
    assert set(event) == {"event", "properties"}
    assert set(properties) == ENVELOPE | ALWAYS | RESOURCE | FEATURE
    assert (event["event"], properties["ip"]) == ("collect metrics", "0")
    assert properties["distinct_id"] == properties["cluster_id"]
    with grpc.insecure_channel(deployment.scheduler_address) as channel:
        told = scheduler_pb2_grpc.SchedulerStub(channel).SchedulerStatus(pb.SchedulerStatusRequest())
    assert properties["seldon_core_version"] == told.applicationVersion != ""
    text = json.dumps(event)
    names = {*MODELS, PIPELINE, "mlserver", "triton", "127.0.0.1", "localhost", socket.gethostname()}
    assert {name for name in names if name in text} == set()


def test_counts_are_what_the_scheduler_holds(deployment: Deployment, loaded: None) -> None:
    first = event_of_a_new_start(deployment)["properties"]
    held = listed(deployment)
    assert {name: first[name] for name in held} == held
    assert held["model_count"] >= len(MODELS)
    assert (first["server_count"], first["server_replica_count"], first["multimodel_enabled_count"]) == (2, 2, 2)

    deployment.load_manifest(IRIS, "told-later")
    deployment.wait_state("told-later", "ModelAvailable")
    deployment.load_pipeline(pipeline("told-later-flow", "told-adding"))
    more = event_of_a_new_start(deployment)["properties"]
    deployment.unload_pipeline("told-later-flow")
    deployment.unload("told-later")
    less = event_of_a_new_start(deployment)["properties"]
    for name in ("model_count", "pipeline_count"):
        assert (more[name], less[name]) == (first[name] + 1, first[name]), name


def test_every_start_is_somebody_else_unless_the_user_says_who(deployment: Deployment) -> None:
    """Two starts have two identifiers, and CLUSTER_ID fixes it."""
    first, second = (event_of_a_new_start(deployment)["properties"]["cluster_id"] for _ in range(2))
    assert first != second
    assert UUID(first).version == UUID(second).version == 4
    for _ in range(2):
        with collector(deployment, CLUSTER_ID=CLUSTER_ID) as one:
            assert one.printed()["properties"]["cluster_id"] == CLUSTER_ID


def test_each_level_is_a_superset_with_zeros_above_itself(deployment: Deployment, loaded: None) -> None:
    told = {}
    for level in ("cluster", "resource", "feature"):
        with collector(deployment, METRICS_LEVEL=level, CLUSTER_ID=CLUSTER_ID) as one:
            told[level] = one.printed()["properties"]
    everything = told["feature"]
    assert all(everything[name] for name in ("seldon_core_version", "model_count", "server_memory_gb_sum"))
    assert everything == {**told["resource"], **{name: everything[name] for name in {*FEATURE, "time", "$insert_id"}}}
    for level, above in (("cluster", RESOURCE | FEATURE), ("resource", FEATURE)):
        kept = (ALWAYS | RESOURCE) - above
        assert {name: told[level][name] for name in above} == dict.fromkeys(above, 0)
        assert {name: told[level][name] for name in kept} == {name: everything[name] for name in kept}


def test_further_receivers_get_the_same_event(deployment: Deployment) -> None:
    with collector(deployment, EXTRA_PUBLISH_URLS=receiver(deployment)) as one:
        printed = one.printed()
        one.read_until("next run after 8h0m0s")
    assert printed in events(deployment)


def test_a_receiver_that_cannot_be_reached_is_tried_again_and_disturbs_nobody(deployment: Deployment) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with collector(deployment, PUBLISH_URL=nobody, EXTRA_PUBLISH_URLS=f"{receiver(deployment)}, stdout:") as one:
        printed = one.printed()
        for _ in range(2):
            assert nobody in one.read_until("publishing again")
        assert one.process.poll() is None
        assert printed in events(deployment)


def test_the_receiver_refuses_what_is_no_event(deployment: Deployment) -> None:
    kept = [id_of(event) for event in events(deployment)]
    track = f"{receiver(deployment)}/track"
    refused = {"": "no event provided", "?data=%25": "unable to interpret request as an event"}
    for query, sentence in refused.items():
        answer = httpx.get(f"{track}{query}", trust_env=False)
        assert (answer.status_code, answer.text) == (400, sentence)
    nameless = {"event": " ", "properties": {"token": "t", "time": 1, "distinct_id": "d", "$insert_id": "i"}}
    data = base64.b64encode(json.dumps(nameless).encode()).decode()
    answer = httpx.get(track, params={"data": data}, trust_env=False)
    assert (answer.status_code, answer.text) == (400, "unable to interpret request as an event")
    assert [id_of(event) for event in events(deployment)] == kept


def test_nothing_notices_that_usage_metrics_are_gone(deployment: Deployment, load: Callable[[str], str]) -> None:
    """Neither the one that collects nor the one that receives is needed by any other part."""
    load("sklearn-iris-gs.yaml")

    def others() -> dict[str, tuple[bool, int]]:
        rows = deployment.stack.status()
        return {row.part: (row.ready, row.pid) for row in rows if not row.part.startswith("hodometer")}

    before = others()
    assert all(ready for ready, _ in before.values())
    with deployment.requests_running("iris") as traffic:
        for part in ("hodometer", "hodometer-receiver"):
            deployment.stack.stop(part)
        traffic.wait_for_more(100)
        assert others() == before
        assert deployment.seldon("model", "status", "iris", "-w", "ModelAvailable").code == 0
        for part in ("hodometer-receiver", "hodometer"):
            deployment.stack.start(part)
        deployment.wait_for(lambda: len(_kept(deployment)) == 1, "the event of the new start")
    assert traffic.failures == []
    assert others() == before
    deployment.stack.wait_ready()


@pytest.mark.skipif(os.environ.get("RUNTIME") == "compose", reason="containers are left out by their profile")
def test_a_setting_switches_them_off(deployment: Deployment) -> None:
    """And on again, with no other part started anew."""
    others = [each for each in PROFILES["COMPOSE_PROFILES"].split(",") if each != "usage"]
    without = deployment.stack.with_settings({"COMPOSE_PROFILES": ",".join(others)})
    try:
        assert without.up() == []
        assert not {row.part for row in without.status() if row.part.startswith("hodometer")}
        with pytest.raises(httpx.ConnectError):
            events(deployment)
        without.wait_ready()
    finally:
        started = deployment.stack.up()
        deployment.stack.wait_ready()
    assert set(started) == {"hodometer", "hodometer-receiver"}


def _kept(deployment: Deployment) -> list[object]:
    try:
        return list(events(deployment))
    except httpx.TransportError:
        return []
