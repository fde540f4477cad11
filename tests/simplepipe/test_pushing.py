"""What arrives at a real Pushgateway."""

import json
from pathlib import Path

import pytest

from tests.peers.pushgateway import Pushgateway
from tests.simplepipe.environment import Interpreter

EXAMPLE = {
    "name": "example_metric",
    "description": "metric for example purposes",
    "value": 0,
    "metric_type": "gauge",
}
PARSE = "MetricCollector(url).parse_and_push(metrics=metrics, job_name=job)"


def test_the_list_of_the_slides(interpreter: Interpreter, gateway: Pushgateway) -> None:
    interpreter.run(PARSE, url=gateway.url, metrics=[EXAMPLE], job="example_from_dict")
    text = gateway.text()
    assert 'example_metric{instance="",job="example_from_dict"} 0\n' in text
    assert "# HELP example_metric metric for example purposes\n# TYPE example_metric gauge\n" in text


@pytest.mark.parametrize(
    "code",
    [
        "MetricCollector(url).load_and_push(fp=file, job_name=job)",
        "MetricCollector(url).load_and_push(__import__('pathlib').Path(file), job)",
        "MetricCollector(url).push_to_gateway(metrics=load_metrics_from_file(file), job_name=job)",
        "MetricCollector(url).push_to_gateway([Metric(**m) for m in metrics], job)",
        "MetricCollector(url).parse_and_push(parse_metrics(metrics), job)",
        "MetricCollector(url.removeprefix('http://')).parse_and_push(metrics, job)",
        "import asyncio; asyncio.run(AsyncMetricCollector(url).load_and_push(file, job))",
        "import asyncio; asyncio.run(AsyncMetricCollector(url).parse_and_push(metrics, job))",
    ],
)
def test_every_way_gives_the_same(
    interpreter: Interpreter, gateway: Pushgateway, tmp_path: Path, code: str, job: str
) -> None:
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps([EXAMPLE]))
    interpreter.run(code, url=gateway.url, metrics=[EXAMPLE], file=str(file), job=job)
    assert gateway.shown(job) == {"example_metric": 0}


@pytest.mark.parametrize(
    ("value", "number"), [("6", 6), (" 6.5 ", 6.5), ("-1e3", -1000), (2**70, 2.0**70), (0.1, 0.1), ("-0", 0)]
)
def test_numbers_may_be_written_as_text(
    interpreter: Interpreter, gateway: Pushgateway, job: str, value: object, number: float
) -> None:
    interpreter.run(PARSE, url=gateway.url, metrics=[{**EXAMPLE, "value": value}], job=job)
    assert gateway.shown(job) == {"example_metric": number}


def test_each_type(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    metrics = [
        {"name": "t_gauge", "description": "g", "value": 1.5, "metric_type": "gauge"},
        {"name": "t_summary", "description": "s", "value": 2, "metric_type": "summary"},
        {"name": "t_histogram", "description": "h", "value": "3", "metric_type": "histogram", "buckets": [1, 5]},
        {"name": "t_default", "description": "h", "value": 0.3, "metric_type": "histogram"},
        {"name": "t_model", "description": "i", "value": {"version": "2", "tuned": "yes"}, "metric_type": "info"},
    ]
    interpreter.run(PARSE, url=gateway.url, metrics=metrics, job=job)
    shown = gateway.shown(job)
    assert {name: value for name, value in shown.items() if not name.startswith("t_default_bucket")} == {
        "t_gauge": 1.5,
        "t_summary_count": 1,
        "t_summary_sum": 2,
        't_histogram_bucket{le="1"}': 0,
        't_histogram_bucket{le="5"}': 1,
        't_histogram_bucket{le="+Inf"}': 1,
        "t_histogram_count": 1,
        "t_histogram_sum": 3,
        "t_default_count": 1,
        "t_default_sum": 0.3,
        't_model_info{tuned="yes",version="2"}': 1,
    }
    assert len(shown) == 11 + 15
    for name, kind in (("t_gauge", "gauge"), ("t_summary", "summary"), ("t_histogram", "histogram")):
        assert f"# TYPE {name} {kind}\n" in gateway.text()


def test_one_name_may_have_several_labels_and_observations(
    interpreter: Interpreter, gateway: Pushgateway, job: str
) -> None:
    images = {"description": "d", "metric_type": "gauge"}
    metrics = [
        {**images, "name": "l_images", "value": 3, "labels": {"kind": "cat"}},
        {**images, "name": "l_images", "value": 4, "labels": {"kind": "dog"}},
        *({"name": "l_seconds", "description": "d", "value": value, "metric_type": "summary"} for value in (1, 2, 4)),
    ]
    interpreter.run(PARSE, url=gateway.url, metrics=metrics, job=job)
    assert gateway.shown(job) == {
        'l_images{kind="cat"}': 3, 'l_images{kind="dog"}': 4, "l_seconds_count": 3, "l_seconds_sum": 7,
    }  # fmt: skip


def test_a_second_push_replaces_and_other_jobs_stay(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    old = [EXAMPLE, {**EXAMPLE, "name": "old_metric"}]
    interpreter.run(PARSE, url=gateway.url, metrics=old, job=job)
    interpreter.run(PARSE, url=gateway.url, metrics=old, job=f"{job}-other")
    interpreter.run(PARSE, url=gateway.url, metrics=[{**EXAMPLE, "value": 5}], job=job)
    assert gateway.shown(job) == {"example_metric": 5}
    assert gateway.shown(f"{job}-other") == {"example_metric": 0, "old_metric": 0}


def test_grouping_keys_keep_runs_of_one_job_apart(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    code = "MetricCollector(url, grouping_key=key).parse_and_push(metrics, job)"
    for name, value in (("a", 1), ("b/c d", 2), ("", 3)):
        interpreter.run(code, url=gateway.url, metrics=[{**EXAMPLE, "value": value}], job=job, key={"run": name})
    assert gateway.shown(job, run="a") == {"example_metric": 1}
    assert gateway.shown(job, run="b/c d") == {"example_metric": 2}
    interpreter.run("MetricCollector(url, grouping_key={'run': 'a'}).delete(job)", url=gateway.url, job=job)
    assert gateway.shown(job, run="a") == {}
    assert gateway.shown(job, run="b/c d") == {"example_metric": 2}


@pytest.mark.parametrize("name", ["nightly report", "a/b", "größe 日本", "a+b%20", "-", "x" * 300])
def test_a_job_may_have_any_name(interpreter: Interpreter, gateway: Pushgateway, name: str) -> None:
    interpreter.run(PARSE, url=gateway.url, metrics=[EXAMPLE], job=name)
    assert gateway.shown(name) == {"example_metric": 0}
    interpreter.run("MetricCollector(url).delete(job)", url=gateway.url, job=name)
    assert name not in gateway.jobs()


def test_ten_thousand_metrics_are_one_push(
    interpreter: Interpreter, gateway: Pushgateway, tmp_path: Path, job: str
) -> None:
    kinds = ("gauge", "summary", "histogram", "gauge")
    file = tmp_path / "many.json"
    file.write_text(json.dumps([
        {"name": f"many_{index}", "description": "one of many", "value": index, "metric_type": kinds[index % 4]}
        for index in range(10_000)
    ]))  # fmt: skip
    interpreter.run("MetricCollector(url, timeout=60, deadline=60).load_and_push(file, job)",
                    url=gateway.url, file=str(file), job=job)  # fmt: skip
    shown = gateway.shown(job)
    interpreter.run("MetricCollector(url).delete(job)", url=gateway.url, job=job)
    assert len([name for name in shown if name.endswith("_count")]) == 5_000
    assert (shown["many_9999"], shown["many_9998_sum"]) == (9999, 9998)


def test_a_library_s_numbers_are_numbers(interpreter: Interpreter, gateway: Pushgateway, job: str) -> None:
    """What numpy's scalars are like, without numpy; and a loss that diverged is shown as what it is."""
    code = """
from fractions import Fraction
collector = MetricCollector(url)
collector.parse_and_push([{"name": "f", "description": "", "value": Fraction(1, 4), "metric_type": "gauge"},
                          {"name": "n", "description": "", "value": float("nan"), "metric_type": "gauge"}], job)
"""
    interpreter.run(code, url=gateway.url, job=job)
    shown = gateway.shown(job)
    assert shown["f"] == 0.25
    assert shown["n"] != shown["n"]


def test_a_metric_adds_itself_to_any_registry(interpreter: Interpreter) -> None:
    code = """
from prometheus_client import CollectorRegistry
registry = CollectorRegistry()
metric = Metric(name="own", description="d", value="6", metric_type="gauge")
metric.construct_as_prometheus(registry)
result = registry.get_sample_value("own")
try:
    metric.construct_as_prometheus(registry)
except ValueError:
    result += 1
"""
    assert interpreter.run(code) == 7
