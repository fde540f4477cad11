"""The agent's families: exact names, types, help texts, labels and buckets, and what moves them."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.agent.core.inference_counts import OwnCounts
from services.agent.metrics.endpoint import AgentMetrics

LABELS = 'server="mlserver",server_replica="0"'
MODEL_GAUGES = (
    "seldon_loaded_model_gauge",
    "seldon_loaded_model_memory_bytes_gauge",
    "seldon_evicted_model_memory_bytes_gauge",
)
COUNTERS = (
    "seldon_cache_evict_count", "seldon_cache_miss_count", "seldon_load_model_counter", "seldon_unload_model_counter",
)  # fmt: skip
TYPES = {
    "seldon_model_infer_api_seconds": "histogram",
    "seldon_model_infer_total": "counter",
    "seldon_model_infer_seconds_total": "counter",
    "seldon_model_aggregate_infer_total": "counter",
    "seldon_model_aggregate_infer_seconds_total": "counter",
    **dict.fromkeys(COUNTERS, "counter"),
    **dict.fromkeys(MODEL_GAUGES, "gauge"),
    "seldon_server_replica_memory_capacity_bytes_gauge": "gauge",
    "seldon_server_replica_memory_capacity_overcommit_bytes_gauge": "gauge",
}


def metrics() -> AgentMetrics:
    return AgentMetrics("mlserver", 0, memory_bytes=1000, over_commit_percentage=20)


def text(of: AgentMetrics, calls: OwnCounts | None = None) -> str:
    return of.text((calls or OwnCounts()).counts(), envoy_up=True).decode()


def samples(exposed: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in exposed.splitlines() if line[:1] != "#"]
    return {sample: float(value) for sample, _, value in lines}


def labels(**others: str) -> str:
    """As they are written: in order of their names."""
    written = {"server": "mlserver", "server_replica": "0", **others}
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(written.items())) + "}"


def test_every_family_has_its_type_from_the_start() -> None:
    exposed = text(metrics())
    declared = dict(line.split()[2:4] for line in exposed.splitlines() if line.startswith("# TYPE "))
    assert {name: declared.get(name) for name in TYPES} == TYPES
    assert "_created" not in exposed
    assert {"process_resident_memory_bytes", "python_info", "seldon_agent_envoy_up"} <= set(declared)
    assert [samples(exposed)[f"{name}{{{LABELS}}}"] for name in COUNTERS] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("seldon_model_infer_api_seconds", "A histogram of latencies for inference server"),
        ("seldon_model_infer_total", "A count of server inference calls"),
        ("seldon_model_infer_seconds_total", "A sum of server inference call latencies"),
        ("seldon_model_aggregate_infer_total", "A count of server inference calls (aggregate)"),
        ("seldon_model_aggregate_infer_seconds_total", "A sum of server inference call latencies (aggregate)"),
        ("seldon_cache_evict_count", "A count of model cache evict"),
        ("seldon_cache_miss_count", "A count of model cache miss"),
        ("seldon_load_model_counter", "A count of model load"),
        ("seldon_unload_model_counter", "A count of model unload"),
        ("seldon_loaded_model_gauge", "A gauge of models loaded in the system"),
    ],
)
def test_help_texts(name: str, words: str) -> None:
    assert f"# HELP {name} {words}\n" in text(metrics())


def test_inference_calls_by_model_and_in_sum() -> None:
    calls = OwnCounts()
    for _ in range(50):
        calls.rest("iris_1", "POST", 200, 0.25)
    for _ in range(100):
        calls.grpc("iris_1", "OK", 0.5, stream=False)
    exposed = samples(text(metrics(), calls))
    rest = labels(model="iris", model_internal="iris_1", method_type="rest", code="200")
    grpc = labels(model="iris", model_internal="iris_1", method_type="grpc", code="OK")
    assert exposed[f"seldon_model_infer_total{rest}"] == 50
    assert exposed[f"seldon_model_infer_total{grpc}"] == 100
    assert exposed[f"seldon_model_infer_seconds_total{rest}"] == 12.5
    for method_type, count, seconds in (("rest", 50, 12.5), ("grpc", 100, 50)):
        of_all = labels(method_type=method_type)
        assert exposed[f"seldon_model_aggregate_infer_total{of_all}"] == count
        assert exposed[f"seldon_model_aggregate_infer_seconds_total{of_all}"] == seconds


def test_the_histogram_has_exactly_the_documented_buckets() -> None:
    calls = OwnCounts()
    calls.rest("iris_1", "POST", 200, 0.3)
    exposed = text(metrics(), calls)
    (family,) = (f for f in text_string_to_metric_families(exposed) if f.name == "seldon_model_infer_api_seconds")
    bounds = [float(sample.labels["le"]) for sample in family.samples if sample.name.endswith("_bucket")]
    assert bounds == [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, float("inf")]
    values = samples(exposed)
    post = {"method": "post", "code": "200"}
    assert values["seldon_model_infer_api_seconds_bucket" + labels(**post, le="0.25")] == 0
    assert values["seldon_model_infer_api_seconds_bucket" + labels(**post, le="0.5")] == 1
    assert values["seldon_model_infer_api_seconds_count" + labels(**post)] == 1
    assert values["seldon_model_infer_api_seconds_sum" + labels(**post)] == 0.3


def test_a_parser_finds_the_two_families_that_notebooks_look_for() -> None:
    calls = OwnCounts()
    calls.rest("iris_1", "POST", 200, 0.3)
    families = {family.name: family for family in text_string_to_metric_families(text(metrics(), calls))}
    (sample,) = families["seldon_model_infer"].samples
    assert (sample.name, sample.value) == ("seldon_model_infer_total", 1)
    assert sample.labels == {
        "server": "mlserver", "server_replica": "0", "model": "iris", "model_internal": "iris_1",
        "method_type": "rest", "code": "200",
    }  # fmt: skip


def test_capacities() -> None:
    exposed = samples(text(metrics()))
    assert exposed[f"seldon_server_replica_memory_capacity_bytes_gauge{{{LABELS}}}"] == 1000
    assert exposed[f"seldon_server_replica_memory_capacity_overcommit_bytes_gauge{{{LABELS}}}"] == 1200


Event = Callable[[AgentMetrics], Any]
FIRST_LOAD: Event = lambda of: of.loaded("iris_1", 300)  # noqa: E731
TAKEN_UP: Event = lambda of: of.held("iris_1", 300)  # noqa: E731
UNLOADED: Event = lambda of: of.unloaded("iris_1")  # noqa: E731


@pytest.mark.parametrize(
    ("events", "counters", "gauges"),
    [
        ([FIRST_LOAD], [0, 0, 1, 0], [1, 300, 0]),
        ([TAKEN_UP], [0, 0, 0, 0], [1, 300, 0]),
        ([FIRST_LOAD, UNLOADED], [0, 0, 1, 1], [0, 0, 0]),
        ([FIRST_LOAD, UNLOADED, FIRST_LOAD], [0, 0, 2, 1], [1, 300, 0]),
    ],
    ids=["first load", "held by an earlier process", "unloaded", "loaded once more"],
)
def test_what_each_event_changes(events: list[Event], counters: list[int], gauges: list[int]) -> None:
    """Counters: evict, miss, load, unload. Gauges: registered, bytes in memory, bytes evicted."""
    of = metrics()
    for event in events:
        event(of)
    exposed = samples(text(of))
    assert [exposed[f"{name}{{{LABELS}}}"] for name in COUNTERS] == counters
    of_model = labels(model_internal="iris_1")
    assert [exposed[name + of_model] for name in MODEL_GAUGES] == gauges


def test_a_model_that_was_never_here_has_no_series() -> None:
    assert "model_internal" not in text(metrics())
