"""Prometheus itself judges its configuration and its rules."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from compose.prometheus.install import remedy_for_tests
from compose.prometheus.rendering import PUSHGATEWAYS, RULES, TEMPLATE, on_one_host
from shared.errors import InvalidInput
from tests.peers.prometheus import program

pytestmark = pytest.mark.monitoring
START = TEMPLATE.with_name("start")
VALUES = {
    "AGENT_MLSERVER_METRICS_PORT": "9006", "AGENT_TRITON_METRICS_PORT": "9007", "PIPELINEGATEWAY_METRICS_PORT": "9009",
    "ENVOY_CONTROL_PORT": "9003", "SCHEDULER_HEALTH_PORT": "9014", "MODELGATEWAY_HEALTH_PORT": "9015",
    "DATAFLOW_HEALTH_PORT": "9016", "SERVER_MLSERVER_METRICS_PORT": "8084",
    "PUSHGATEWAY_ALICE_PORT": "9191", "PUSHGATEWAY_BOB_PORT": "9192",
    "V1_GATEWAY_HTTP_PORT": "8000", "SERVER_MLSERVER_V1_METRICS_PORT": "6000",
}  # fmt: skip
UNIT_TESTS = """\
rule_files: [{rules}]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - {{series: 'seldon_model_infer_total{{namespace="n",model="bad",code="200",method_type="rest"}}', values: '0+54x20'}}
  - {{series: 'seldon_model_infer_total{{namespace="n",model="bad",code="OK",method_type="grpc"}}', values: '0+36x20'}}
  - {{series: 'seldon_model_infer_total{{namespace="n",model="bad",code="500",method_type="rest"}}', values: '0+6x20'}}
  - {{series: 'seldon_model_infer_total{{namespace="n",model="bad",code="Internal",method_type="grpc"}}', values: '0+4x20'}}
  - {{series: 'seldon_model_infer_total{{namespace="n",model="good",code="200",method_type="rest"}}', values: '0+60x20'}}
  - {{series: 'seldon_model_infer_total{{namespace="n",model="idle",code="500",method_type="rest"}}', values: '9x20'}}
  - {{series: 'seldon_pipeline_infer_total{{namespace="n",pipeline="p",code="200"}}', values: '0+60x20'}}
  - {{series: 'up{{namespace="seldon-mesh",job="agent",pod="mlserver-0",instance="a:1"}}', values: '1x10 0x10'}}
  - {{series: 'seldon_scheduler_agent_events_total{{namespace="n",event="LOAD_FAILED"}}', values: '0x10 1x10'}}
  - {{series: 'seldon_loaded_model_memory_bytes_gauge{{namespace="n",server="s",server_replica="0",model_internal="a_1"}}', values: '96x20'}}
  - {{series: 'seldon_server_replica_memory_capacity_bytes_gauge{{namespace="n",server="s",server_replica="0"}}', values: '100x20'}}
  - {{series: 'seldon_cache_evict_count{{namespace="n",server="s",server_replica="0"}}', values: '0+60x20'}}
  promql_expr_test:
  - expr: round(seldon:model_infer_errors:ratio_rate5m, 0.001)
    eval_time: 15m
    exp_samples:
    - {{labels: '{{namespace="n",model="bad"}}', value: 0.1}}
    - {{labels: '{{namespace="n",model="good"}}', value: 0}}
  - expr: seldon:pipeline_infer_errors:ratio_rate5m
    eval_time: 15m
    exp_samples:
    - {{labels: 'seldon:pipeline_infer_errors:ratio_rate5m{{namespace="n",pipeline="p"}}', value: 0}}
  - expr: seldon:cache_evictions:rate5m
    eval_time: 15m
    exp_samples:
    - {{labels: 'seldon:cache_evictions:rate5m{{namespace="n",server="s"}}', value: 1}}
  - expr: seldon:memory_slots:used_ratio
    eval_time: 15m
    exp_samples:
    - {{labels: 'seldon:memory_slots:used_ratio{{namespace="n",server="s",server_replica="0"}}', value: 0.96}}
  - expr: count by (alertname) (ALERTS{{alertstate="firing"}})
    eval_time: 15m
    exp_samples:
    - {{labels: '{{alertname="ModelErrors"}}', value: 1}}
    - {{labels: '{{alertname="TargetDown"}}', value: 1}}
    - {{labels: '{{alertname="ModelLoadsFail"}}', value: 1}}
    - {{labels: '{{alertname="MemorySlotsFull"}}', value: 1}}
"""  # noqa: E501


def judged(*arguments: str) -> None:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def targets(configuration: str) -> dict[str, list[str]]:
    """Job to addresses."""
    jobs = yaml.safe_load(configuration)["scrape_configs"]
    return {job["job_name"]: [target for entry in job["static_configs"] for target in entry["targets"]] for job in jobs}


def test_plain_processes(tmp_path: Path) -> None:
    configuration = on_one_host(TEMPLATE.read_text(), VALUES, "127.0.0.1", RULES, 100)
    file = tmp_path / "prometheus.yml"
    file.write_text(configuration)
    judged("check", "config", str(file))
    assert targets(configuration) == {
        "agent": ["127.0.0.1:9006", "127.0.0.1:9007", "127.0.0.1:9009"],
        "envoy": ["127.0.0.1:9003"],
        "scheduler": ["127.0.0.1:9014"],
        "modelgateway": ["127.0.0.1:9015"],
        "dataflow": ["127.0.0.1:9016"],
        "v1-executor": ["127.0.0.1:8000"],
        "v1-models": ["127.0.0.1:6000"],
        "server": ["127.0.0.1:8084"],
    }


def test_further_replicas_have_pods_and_ports_of_their_own(tmp_path: Path) -> None:
    configuration = on_one_host(TEMPLATE.read_text(), {**VALUES, "DATAFLOW_REPLICAS": "3"}, "::1", RULES, 100)
    file = tmp_path / "prometheus.yml"
    file.write_text(configuration)
    judged("check", "config", str(file))
    assert targets(configuration)["dataflow"] == ["[::1]:9016", "[::1]:9116", "[::1]:9216"]
    (dataflow,) = (j for j in yaml.safe_load(configuration)["scrape_configs"] if j["job_name"] == "dataflow")
    pods = [entry["labels"]["pod"] for entry in dataflow["static_configs"]]
    assert pods == ["seldon-dataflow-engine-0", "seldon-dataflow-engine-1", "seldon-dataflow-engine-2"]


def test_version_1_is_asked_every_30_seconds_and_only_where_there_is_a_gateway() -> None:
    configuration = yaml.safe_load(on_one_host(TEMPLATE.read_text(), VALUES, "127.0.0.1", RULES, 100))
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    for name in ("v1-executor", "v1-models"):
        assert (jobs[name]["scrape_interval"], jobs[name]["metrics_path"]) == ("30s", "/prometheus")
    without = on_one_host(TEMPLATE.read_text(), VALUES, "127.0.0.1", RULES, 100, without={"v1-executor"})
    assert targets(without).keys() == jobs.keys() - {"v1-executor"}


def test_every_target_says_where_it_belongs() -> None:
    configuration = on_one_host(TEMPLATE.read_text(), VALUES, "127.0.0.1", RULES, 100)
    for job in yaml.safe_load(configuration)["scrape_configs"]:
        for entry in job["static_configs"]:
            assert set(entry["labels"]) == {"namespace", "pod", "container"}


def test_pushgateways_are_asked_for_their_users(tmp_path: Path) -> None:
    """Pushed series keep their job, and nobody passes for another user."""
    configuration = on_one_host(TEMPLATE.read_text() + PUSHGATEWAYS.read_text(), VALUES, "127.0.0.1", RULES, 100)
    file = tmp_path / "prometheus.yml"
    file.write_text(configuration)
    judged("check", "config", str(file))
    asked = {job["job_name"]: job for job in yaml.safe_load(configuration)["scrape_configs"]}
    for user, port in (("alice", 9191), ("bob", 9192)):
        job = asked[f"pushgateway-{user}"]
        (target,) = job["static_configs"]
        assert job["honor_labels"] is True
        assert target["targets"] == [f"127.0.0.1:{port}"]
        assert target["labels"] == {
            "namespace": "seldon-mesh", "pod": f"pushgateway-{user}-0", "container": "pushgateway", "user": user,
        }  # fmt: skip
        forced = {rule["target_label"]: rule["replacement"] for rule in job["metric_relabel_configs"][:-1]}
        assert forced == target["labels"]


def test_a_missing_setting_is_named() -> None:
    fewer = {name: value for name, value in VALUES.items() if name != "ENVOY_CONTROL_PORT"}
    with pytest.raises(InvalidInput, match=r"ENVOY_CONTROL_PORT: add it to \.env"):
        on_one_host(TEMPLATE.read_text(), fewer, "127.0.0.1", RULES, 100)


def test_containers_fill_in_the_same_template(tmp_path: Path) -> None:
    """The script that containers start with, up to where it becomes Prometheus."""
    script = tmp_path / "start"
    text = START.read_text().replace("/tmp/", f"{tmp_path}/").replace("exec prometheus", "echo")
    script.write_text(text.replace("/etc/seldon-prometheus/", f"{TEMPLATE.parent}/"))
    both = TEMPLATE.read_text() + PUSHGATEWAYS.read_text()
    names = set(re.findall(r"\$\{(\w+_HOST)\}", both))
    hosts = {name: name.removesuffix("_HOST").lower().replace("_", "-") for name in names}
    environment = {"PATH": os.environ["PATH"], **VALUES, **hosts, "PROMETHEUS_RULES": str(RULES)}
    subprocess.run(["sh", str(script)], env=environment, check=True, capture_output=True)
    filled = tmp_path / "prometheus.yml"
    judged("check", "config", str(filled))
    assert targets(filled.read_text())["agent"] == [
        "agent-mlserver:9006", "agent-triton:9007", "pipelinegateway:9009",
    ]  # fmt: skip
    assert "pushgateway-alice" not in targets(filled.read_text())
    with_them = {**environment, "COMPOSE_PROFILES": "usage,pushgateways"}
    subprocess.run(["sh", str(script)], env=with_them, check=True, capture_output=True)
    judged("check", "config", str(filled))
    assert targets(filled.read_text())["pushgateway-bob"] == ["pushgateway-bob:9192"]
    del environment["SCHEDULER_HOST"]
    done = subprocess.run(["sh", str(script)], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "setting SCHEDULER_HOST is missing: add it to .env" in done.stderr


def test_rules_are_valid() -> None:
    judged("check", "rules", str(RULES))


def test_rules_say_what_they_should(tmp_path: Path) -> None:
    file = tmp_path / "tests.yml"
    file.write_text(UNIT_TESTS.format(rules=RULES))
    judged("test", "rules", str(file))


def test_a_missing_program_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SELDON_VENVS", str(tmp_path))
    with pytest.raises(RuntimeError, match=f"no promtool found: {remedy_for_tests()}"):
        program("promtool")
