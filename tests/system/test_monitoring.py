"""The system's own Prometheus sees everything, and counts are exact."""

import re
from collections.abc import Iterator

import httpx
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from compose.prometheus.install import remedy_for_tests
from compose.prometheus.rendering import RULES
from tests.peers.dashboards import queries
from tests.peers.families import services
from tests.peers.prometheus import Prometheus
from tests.system.calls import PROTOCOLS, infer, tensor
from tests.system.deployment import Deployment

pytestmark = [pytest.mark.system, pytest.mark.monitoring]
REST, GRPC = 50, 100
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
REPLICA = {"server", "server_replica"}
CALL = {"model", "model_internal", "method_type", "code"}
MODEL = {"model_internal"}
SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, float("inf")]
# Family to type and labels.
AGENT = {
    "seldon_model_infer_api_seconds": ("histogram", REPLICA | {"method", "code"}),
    "seldon_model_infer_total": ("counter", REPLICA | CALL),
    "seldon_model_infer_seconds_total": ("counter", REPLICA | CALL),
    "seldon_model_aggregate_infer_total": ("counter", REPLICA | {"method_type"}),
    "seldon_model_aggregate_infer_seconds_total": ("counter", REPLICA | {"method_type"}),
    "seldon_cache_evict_count": ("counter", REPLICA),
    "seldon_cache_miss_count": ("counter", REPLICA),
    "seldon_load_model_counter": ("counter", REPLICA),
    "seldon_unload_model_counter": ("counter", REPLICA),
    "seldon_loaded_model_gauge": ("gauge", REPLICA | MODEL),
    "seldon_loaded_model_memory_bytes_gauge": ("gauge", REPLICA | MODEL),
    "seldon_evicted_model_memory_bytes_gauge": ("gauge", REPLICA | MODEL),
    "seldon_server_replica_memory_capacity_bytes_gauge": ("gauge", REPLICA),
    "seldon_server_replica_memory_capacity_overcommit_bytes_gauge": ("gauge", REPLICA),
}
PIPELINE_GATEWAY = {
    "seldon_pipeline_infer_api_seconds": ("histogram", {"server", "pipeline", "method", "code"}),
    "seldon_pipeline_infer_total": ("counter", {"server", "pipeline", "method_type", "code"}),
    "seldon_pipeline_infer_seconds_total": ("counter", {"server", "pipeline", "method_type", "code"}),
    "seldon_pipeline_aggregate_infer_total": ("counter", {"server", "method_type"}),
    "seldon_pipeline_aggregate_infer_seconds_total": ("counter", {"server", "method_type"}),
}


def shown(deployment: Deployment, port: str) -> str:
    """What a part answers to whoever asks for its metrics."""
    answer = httpx.get(f"http://127.0.0.1:{deployment.stack.port(port)}/metrics", timeout=30, trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text


def families(text: str) -> dict[str, tuple[str, set[str]]]:
    """Name to type and labels, the bounds of histograms left out, exactly as they are written."""
    found: dict[str, tuple[str, set[str]]] = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        suffix = "_bucket" if kind == "histogram" else ""
        sample = re.search(rf"^{name}{suffix}(?:\{{(.*)\}})? ", text, re.MULTILINE)
        found[name] = (kind, set(re.findall(r'(\w+)="', sample[1] or "")) - {"le"} if sample else set())
    return found


def bounds_of(histogram: str, text: str) -> list[float]:
    found = re.findall(rf'^{histogram}_bucket\{{.*le="(.*?)"', text, re.MULTILINE)
    return sorted({float(bound) for bound in found})


@pytest.fixture(scope="module")
def watched(deployment: Deployment) -> Iterator[Prometheus]:
    """The deployment's Prometheus, after a known run of calls."""
    assert "prometheus" in {row.part for row in deployment.stack.status()}, remedy_for_tests()
    prometheus = Prometheus(f"http://127.0.0.1:{deployment.stack.port('PROMETHEUS_PORT')}")
    deployment.load_manifest(IRIS, "counted-iris")
    deployment.load_manifest(ADDING, "counted-adding")
    deployment.wait_state("counted-iris", "ModelAvailable")
    deployment.wait_state("counted-adding", "ModelAvailable")
    deployment.load_pipeline(PIPELINE)
    ask_each(deployment, 1, 1)
    # A counter that begins at its last value never grew, and has no rate.
    first = [f'seldon_model_infer_total{{model="{model}"}}' for model in ("counted-iris", "counted-adding")]
    assert prometheus.until(lambda: all(prometheus.ask(query) for query in first))
    ask_each(deployment, REST - 1, GRPC - 1)
    yield prometheus
    deployment.unload_pipeline("counted-flow")
    deployment.unload("counted-iris")
    deployment.unload("counted-adding")


def ask_each(deployment: Deployment, rest: int, grpc: int) -> None:
    """So many calls of the model and of the pipeline."""
    for protocol, count in zip(PROTOCOLS, (rest, grpc), strict=True):
        for _ in range(count):
            for resource, inputs in (("counted-iris", FLOWER), ("counted-flow.pipeline", NUMBERS)):
                assert infer(deployment, protocol, resource, inputs).ok


def test_every_query_of_every_overview_has_data(watched: Prometheus) -> None:
    """At once after the calls, since most ask for the last minute."""
    without = set(queries("seldon_overview"))

    def all_answered() -> bool:
        without.difference_update({query for query in without if watched.ask(query.expression)})
        return not without

    watched.until(all_answered)
    assert without == set()


def test_every_target_is_up(watched: Prometheus) -> None:
    watched.until(lambda: set(watched.targets().values()) == {"up"})
    assert set(watched.targets().values()) == {"up"}, watched.targets()
    jobs = {sample["metric"]["job"] for sample in watched.ask('up{namespace="seldon-mesh",pod!=""}')}
    assert jobs == {
        "agent", "envoy", "scheduler", "modelgateway", "dataflow", "server", "v1-executor", "v1-models",
        "pushgateway-alice", "pushgateway-bob",
    }  # fmt: skip
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
        # The hops between: each request of the pipeline comes in and the model's answer, and as much goes out.
        ('seldon_modelgateway_calls_total{code="OK",model="counted-adding"}', REST + GRPC),
        ('seldon_modelgateway_call_seconds_count{model="counted-adding"}', REST + GRPC),
        ('seldon_modelgateway_wait_seconds_count{model="counted-adding"}', REST + GRPC),
        ('seldon_dataflow_records_in_total{pipeline="counted-flow"}', 2 * (REST + GRPC)),
        ('seldon_dataflow_records_out_total{pipeline="counted-flow"}', 2 * (REST + GRPC)),
        ('seldon_dataflow_requests_in_flight{pipeline="counted-flow"}', 0),
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


def test_prometheus_knows_every_family_of_every_service(watched: Prometheus) -> None:
    """What scheduler, gateways and engines show of their own beside the documented families."""
    defined = {f.name: f.type for service, each in services().items() if service != "envoy" for f in each}

    def known() -> dict[str, str | None]:
        types = watched.types()
        return {name: types.get(name) for name in defined}

    watched.until(lambda: known() == defined)
    assert known() == defined


@pytest.mark.parametrize("server", ["mlserver", "triton"])
def test_agents_show_the_documented_families_to_the_letter(
    deployment: Deployment, watched: Prometheus, server: str
) -> None:
    """Names, types and labels. No model gives way to another for want of memory, so evictions and misses stay at 0."""
    text = shown(deployment, f"AGENT_{server.upper()}_METRICS_PORT")
    found = families(text)
    assert {name: found.get(name) for name in AGENT} == AGENT
    assert {name for name in found if re.match(r"seldon_(model|cache|load|unload|evicted|server)", name)} == set(AGENT)
    replica = f'server="{server}",server_replica="0"'
    for name in ("seldon_cache_evict_count", "seldon_cache_miss_count"):
        assert f"\n{name}{{{replica}}} 0" in text
    assert bounds_of("seldon_model_infer_api_seconds", text) == SECONDS


def test_the_pipeline_gateway_shows_the_documented_families_to_the_letter(
    deployment: Deployment, watched: Prometheus
) -> None:
    text = shown(deployment, "PIPELINEGATEWAY_METRICS_PORT")
    found = families(text)
    assert {name: found.get(name) for name in PIPELINE_GATEWAY} == PIPELINE_GATEWAY
    assert {name for name in found if name.startswith("seldon_pipeline_")} == set(PIPELINE_GATEWAY)
    assert bounds_of("seldon_pipeline_infer_api_seconds", text) == SECONDS


def test_clients_with_the_public_parser_read_the_counts(deployment: Deployment, watched: Prometheus) -> None:
    """It knows counters by their name without `_total`."""
    agent, gateway = (
        {family.name: family for family in text_string_to_metric_families(shown(deployment, port))}
        for port in ("AGENT_MLSERVER_METRICS_PORT", "PIPELINEGATEWAY_METRICS_PORT")
    )
    model = {"model": "counted-iris", "model_internal": "counted-iris_1", "server": "mlserver", "server_replica": "0"}
    flow = {"pipeline": "counted-flow", "server": "pipeline-gateway"}
    for method_type, code, count in (("rest", "200", REST), ("grpc", "OK", GRPC)):
        call = {"method_type": method_type, "code": code}
        assert sample(agent["seldon_model_infer"], **model, **call) == count
        assert sample(gateway["seldon_pipeline_infer"], **flow, **call) == count


def sample(family: Metric, **labels: str) -> float:
    (value,) = (one.value for one in family.samples if one.labels == labels and one.name == f"{family.name}_total")
    return value


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
