"""A real Prometheus over the whole system: everything answers, and counts are exact."""

from collections.abc import Iterator

import pytest
import yaml

from compose.prometheus.rendering import RULES, TEMPLATE, on_one_host
from tests.peers import prometheus
from tests.peers.dashboards import queries
from tests.peers.prometheus import Prometheus
from tests.system.calls import infer, tensor
from tests.system.deployment import Deployment

pytestmark = [pytest.mark.system, pytest.mark.monitoring]
REST, GRPC = 50, 100
PORT_STEP = 100
IRIS = {"storageUri": "samples://iris", "requirements": ["sklearn"], "memory": "100Ki"}
ADDING = {"storageUri": "samples://tfsimple", "requirements": ["triton", "python"], "memory": "100Ki"}
FLOWER = [tensor("predict", "FP32", [1, 4], [1, 2, 3, 4])]
NUMBERS = [tensor(name, "INT32", [1, 16], list(range(16))) for name in ("INPUT0", "INPUT1")]
PIPELINE = yaml.safe_dump(
    {
        "apiVersion": "mlops.seldon.io/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "counted-flow"},
        "spec": {"steps": [{"name": "counted-adding"}], "output": {"steps": ["counted-adding"]}},
    }
)
AGENT_TYPES = {
    "seldon_model_infer_api_seconds": "histogram",
    "seldon_model_infer_total": "counter",
    "seldon_model_infer_seconds_total": "counter",
    "seldon_model_aggregate_infer_total": "counter",
    "seldon_model_aggregate_infer_seconds_total": "counter",
    "seldon_cache_evict_count": "counter",
    "seldon_cache_miss_count": "counter",
    "seldon_load_model_counter": "counter",
    "seldon_unload_model_counter": "counter",
    "seldon_loaded_model_gauge": "gauge",
    "seldon_loaded_model_memory_bytes_gauge": "gauge",
    "seldon_evicted_model_memory_bytes_gauge": "gauge",
    "seldon_server_replica_memory_capacity_bytes_gauge": "gauge",
    "seldon_server_replica_memory_capacity_overcommit_bytes_gauge": "gauge",
}
PIPELINE_TYPES = {
    "seldon_pipeline_infer_api_seconds": "histogram",
    "seldon_pipeline_infer_total": "counter",
    "seldon_pipeline_infer_seconds_total": "counter",
    "seldon_pipeline_aggregate_infer_total": "counter",
    "seldon_pipeline_aggregate_infer_seconds_total": "counter",
}


@pytest.fixture(scope="module")
def watched(deployment: Deployment) -> Iterator[Prometheus]:
    """A Prometheus that reads this deployment every second, after a known run of calls."""
    template = TEMPLATE.read_text().replace("_interval: 10s", "_interval: 1s")
    settings = deployment.stack.settings
    configuration = on_one_host(template, settings.values, settings.host, RULES, PORT_STEP)
    deployment.load_manifest(IRIS, "counted-iris")
    deployment.load_manifest(ADDING, "counted-adding")
    deployment.wait_state("counted-iris", "ModelAvailable")
    deployment.wait_state("counted-adding", "ModelAvailable")
    deployment.load_pipeline(PIPELINE)
    with prometheus.running(configuration) as running:
        for number in range(GRPC):
            for resource, inputs in (("counted-iris", FLOWER), ("counted-flow.pipeline", NUMBERS)):
                assert infer(deployment, "grpc", resource, inputs).ok
                if number < REST:
                    assert infer(deployment, "rest", resource, inputs).ok
        yield running
    deployment.unload_pipeline("counted-flow")
    deployment.unload("counted-iris")
    deployment.unload("counted-adding")


def test_every_target_is_up(watched: Prometheus) -> None:
    watched.until(lambda: set(watched.targets().values()) == {"up"})
    assert set(watched.targets().values()) == {"up"}, watched.targets()
    jobs = {sample["metric"]["job"] for sample in watched.ask('up{namespace="seldon-mesh",pod!=""}')}
    assert jobs == {"agent", "envoy", "scheduler", "modelgateway", "dataflow", "server"}
    assert [sample["value"][1] for sample in watched.ask("seldon_agent_envoy_up")] == ["1", "1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('seldon_model_infer_total{code="200",method_type="rest",model="counted-iris",model_internal="counted-iris_1",'
         'server="mlserver",server_replica="0"}', REST),
        ('seldon_model_infer_total{code="OK",method_type="grpc",model="counted-iris",model_internal="counted-iris_1",'
         'server="mlserver",server_replica="0"}', GRPC),
        # Once for each request of the pipeline, whatever brought it in.
        ('seldon_model_infer_total{code="OK",method_type="grpc",model="counted-adding",'
         'model_internal="counted-adding_1",server="triton",server_replica="0"}', REST + GRPC),
        ('seldon_pipeline_infer_total{code="200",method_type="rest",pipeline="counted-flow",'
         'server="pipeline-gateway"}', REST),
        ('seldon_pipeline_infer_total{code="OK",method_type="grpc",pipeline="counted-flow",'
         'server="pipeline-gateway"}', GRPC),
        ('seldon_pipeline_infer_api_seconds_count{code="200",method="rest",pipeline="counted-flow"}', REST),
        ('seldon_pipeline_infer_api_seconds_bucket{code="OK",method="grpc",pipeline="counted-flow",le="+Inf"}', GRPC),
        ('count(seldon_model_infer_total{model=~"counted-.*"})', 3),
        ('seldon_loaded_model_gauge{model_internal="counted-iris_1",server="mlserver",server_replica="0"}', 1),
        ('seldon_loaded_model_memory_bytes_gauge{model_internal="counted-iris_1"}', 102_400),
        ('seldon_evicted_model_memory_bytes_gauge{model_internal="counted-iris_1"}', 0),
    ],
)  # fmt: skip
def test_counts_are_exact(watched: Prometheus, query: str, expected: float) -> None:
    watched.until(lambda: watched.value(query) >= expected)
    assert watched.value(query) == expected


def test_sums_add_up(watched: Prometheus) -> None:
    """Aggregates are the sums over models, and the histogram holds every call once Envoy has flushed it."""
    for name, replica in (("total", "mlserver"), ("seconds_total", "triton")):
        of_server = f'{{server="{replica}"}}'
        aggregate = watched.value(f"sum(seldon_model_aggregate_infer_{name}{of_server})")
        assert aggregate == pytest.approx(watched.value(f"sum(seldon_model_infer_{name}{of_server})"))
    missing = "sum(seldon_model_infer_total{0}) - sum(seldon_model_infer_api_seconds_count{0})"
    difference = missing.format('{server="mlserver"}')
    assert watched.until(lambda: watched.value(difference) == 0), watched.value(difference)


def test_every_documented_family_has_its_type(watched: Prometheus) -> None:
    types = watched.types()
    expected = AGENT_TYPES | PIPELINE_TYPES
    assert {name: types.get(name) for name in expected} == expected
    buckets = watched.ask('count by (le) (seldon_model_infer_api_seconds_bucket{server="mlserver"})')
    bounds = sorted(float(sample["metric"]["le"]) for sample in buckets)
    assert bounds == [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, float("inf")]


def test_every_query_of_every_dashboard_has_data(watched: Prometheus) -> None:
    without = set(queries())

    def all_answered() -> bool:
        without.difference_update({query for query in without if watched.ask(query.expression)})
        return not without

    watched.until(all_answered)
    assert without == set()


def test_rules_have_data_and_nothing_is_alarming(watched: Prometheus) -> None:
    records = [rule["record"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
               if "record" in rule]  # fmt: skip
    assert len(records) == 5
    missing = set(records)

    def all_recorded() -> bool:
        missing.difference_update({name for name in missing if watched.ask(name)})
        return not missing

    watched.until(all_recorded)
    assert missing == set()
    assert watched.value('seldon:model_infer_errors:ratio_rate5m{model="counted-iris"}') == 0
    assert not watched.alerts() & {"TargetDown", "EnvoyUnseenByAgent"}
