"""Two users with a Pushgateway each, and a real Prometheus that reads both: series, dashboard and alerts."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from compose.prometheus.rendering import PUSHGATEWAYS, RULES, on_one_host
from tests.peers import prometheus, pushgateway
from tests.peers.dashboards import dashboards, queries
from tests.peers.prometheus import Prometheus
from tests.peers.pushgateway import Pushgateway
from tests.simplepipe.environment import Interpreter

pytestmark = pytest.mark.monitoring
USERS = ("alice", "bob")
SECONDS = {"alice": 42, "bob": 400}
OFTEN = {"scrape_interval": "1s", "evaluation_interval": "1s"}
RUN = """
collector = MetricCollector(url, timeout=30, deadline=30)
def gauge(name, value): return {"name": name, "description": "d", "value": value, "metric_type": "gauge"}
collector.parse_and_push([gauge("run_time_seconds", seconds), gauge("images_processed", 3), gauge("data_bytes", 9),
                          gauge("memory_bytes", 5), gauge("run_succeeded", succeeded)], "count")
"""
BEGIN = """
import builtins
builtins.running = MetricCollector(url).job("train", grouping_key={"model": "iris"})
running.__enter__()
"""
FORGED = """
def gauge(name, **labels):
    return {"name": name, "description": "d", "value": 1, "metric_type": "gauge", "labels": labels}
MetricCollector(url, grouping_key={"instance": "mine"}).parse_and_push([
    gauge("forged", user="alice", namespace="other", pod="mlserver-0", container="agent"),
    gauge("up", user="alice"), gauge("seldon_model_infer_total", model="iris"), gauge("ALERTS", alertname="x"),
], "forger")
"""


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pushgateway]]:
    folder = tmp_path_factory.mktemp("gateways")
    with pushgateway.running(folder / "alice") as alice, pushgateway.running(folder / "bob") as bob:
        yield {"alice": alice, "bob": bob}


@pytest.fixture(scope="module")
def watching(gateways: dict[str, Pushgateway], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """With the scrape jobs and the rules of a deployment, that asks more often."""
    ports = {f"PUSHGATEWAY_{user.upper()}_PORT": gateways[user].url.rpartition(":")[2] for user in USERS}
    jobs = "rule_files: ['${PROMETHEUS_RULES}']\nscrape_configs:\n" + PUSHGATEWAYS.read_text()
    configuration = yaml.safe_load(on_one_host(jobs, ports, "127.0.0.1", RULES, 100))
    text = yaml.safe_dump({"global": OFTEN, **configuration})
    with prometheus.running(text, tmp_path_factory.mktemp("prometheus")) as started:
        yield started


@pytest.fixture(scope="module")
def pushed(interpreter: Interpreter, gateways: dict[str, Pushgateway], watching: Prometheus) -> Iterator[Prometheus]:
    """After both users' runs: bob's takes too long and fails, and one of alice's goes on."""
    for user in USERS:
        given = {"url": gateways[user].url, "seconds": SECONDS[user], "succeeded": int(user == "alice")}
        interpreter.run(RUN, **given)
    interpreter.run(BEGIN, url=gateways["alice"].url)
    assert watching.until(lambda: len(watching.ask("run_time_seconds")) == 3)
    yield watching
    interpreter.run("running.__exit__(None, None, None)")


def test_targets_are_up_and_series_carry_their_user(pushed: Prometheus) -> None:
    assert pushed.until(lambda: set(pushed.targets().values()) == {"up"}), pushed.targets()
    for user in USERS:
        (sample,) = pushed.ask(f'run_time_seconds{{user="{user}",job="count"}}')
        assert float(sample["value"][1]) == SECONDS[user]
        assert sample["metric"] == {
            "__name__": "run_time_seconds", "user": user, "job": "count",
            "namespace": "seldon-mesh", "pod": f"pushgateway-{user}-0", "container": "pushgateway",
        }  # fmt: skip
    assert [s["metric"]["user"] for s in pushed.ask('run_time_seconds{model="iris"}')] == ["alice"]


def test_nobody_passes_for_another_user_or_for_the_system(
    interpreter: Interpreter, gateways: dict[str, Pushgateway], pushed: Prometheus
) -> None:
    interpreter.run(FORGED, url=gateways["bob"].url)
    assert pushed.until(lambda: bool(pushed.ask("forged")))
    (forged,) = pushed.ask("forged")
    assert forged["metric"] == {
        "__name__": "forged", "job": "forger", "instance": "mine", "user": "bob",
        "namespace": "seldon-mesh", "pod": "pushgateway-bob-0", "container": "pushgateway",
    }  # fmt: skip
    assert pushed.ask('{job="forger",__name__=~"up|seldon.*|ALERTS"}') == []


def test_every_panel_of_the_run_times_has_data_of_both_users(pushed: Prometheus) -> None:
    asked = [query for query in queries("data_science") if query.dashboard == "Run Times"]
    assert len(asked) == 8
    for query in asked:
        found = {sample["metric"]["user"] for sample in pushed.ask(query.expression)}
        assert found == set(USERS) - ({"bob"} if query.panel == "Running Now" else set()), query


def test_beside_a_model_stands_its_own_training_only(pushed: Prometheus) -> None:
    panels = {query.panel: query.expression for query in queries("data_science") if query.dashboard != "Run Times"}
    assert [s["metric"] for s in pushed.ask(panels["Run Time"])] == [{"user": "alice", "job": "train", "model": "iris"}]


def test_variables_select(pushed: Prometheus) -> None:
    (query,) = (
        query for query in queries("data_science") if query.panel == "Run Time" and query.dashboard == "Run Times"
    )
    chosen = query.expression.replace('user=~".*"', 'user=~"bob"')
    assert [sample["metric"] for sample in pushed.ask(chosen)] == [{"user": "bob", "job": "count"}]


def test_numbers_of_the_panels(pushed: Prometheus) -> None:
    panels = {query.panel: query.expression for query in queries("data_science") if query.dashboard == "Run Times"}
    by_user = {sample["metric"]["user"]: float(sample["value"][1]) for sample in pushed.ask(panels["Last Run Failed"])}
    assert by_user == {"alice": 0, "bob": 1}
    assert [float(sample["value"][1]) for sample in pushed.ask(panels["Running Now"])] == [1]


def test_the_line_of_the_dashboard_is_that_of_the_alert(pushed: Prometheus) -> None:
    rules = {rule["alert"]: rule["expr"] for rule in alerts()}
    panels = {panel["title"]: panel for panel in dashboards("data_science")["Run Times"]["panels"]}
    for title in ("Run Time", "Longest Run"):
        threshold = panels[title]["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        assert rules["RunTimeTooLong"].endswith(f"> {threshold}")
    assert panels["Run Time"]["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] == "line+area"
    firing = 'ALERTS{alertname=~"Run.*",alertstate="firing"}'
    assert pushed.until(lambda: len(pushed.ask(firing)) >= 2)
    fired = {(s["metric"]["alertname"], s["metric"]["user"], s["metric"]["job"]) for s in pushed.ask(firing)}
    assert fired == {("RunTimeTooLong", "bob", "count"), ("RunFailed", "bob", "count")}


def test_alerts_say_what_they_should(tmp_path: Path) -> None:
    """promtool plays time: a run that is too long, one that was killed, one that ended well and one that failed."""
    series = [
        ('run_time_seconds{user="alice",job="long"}', "0+60x10"),
        ('run_time_seconds{user="alice",job="short"}', "0+10x10"),
        ('run_time_seconds{job="of nobody"}', "1000x10"),
        ('simplepipe_job_lease_seconds{user="bob",job="killed",simplepipe_run="a",simplepipe_host="h"}', "30x10"),
        ('push_time_seconds{user="bob",job="killed"}', "0 60 120 120x8"),
        ('simplepipe_job_lease_seconds{user="bob",job="alive",simplepipe_run="b",simplepipe_host="h"}', "30x10"),
        ('push_time_seconds{user="bob",job="alive"}', "0+60x10"),
        ('simplepipe_job_lease_seconds{user="bob",job="ended",simplepipe_run="c",simplepipe_host="h"}', "0x10"),
        ('push_time_seconds{user="bob",job="ended"}', "0x10"),
        ('run_succeeded{user="bob",job="ended"}', "1x10"),
        ('run_succeeded{user="bob",job="failed",model="a"}', "1x10"),
        ('run_succeeded{user="bob",job="failed",model="b"}', "0x10"),
    ]
    tests: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series],
            "alert_rule_test": [
                expected("RunTimeTooLong", "alice", "long", "alice: long takes 10m 0s"),
                expected("RunFailed", "bob", "failed", "bob: the last run of failed failed"),
                expected("RunVanished", "bob", "killed",
                         "bob: killed said nothing for more than 30s, and did not end"),
            ],
        }],
    }  # fmt: skip
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump(tests))
    judged = subprocess.run([prometheus.program("promtool"), "test", "rules", str(file)],
                            capture_output=True, text=True, check=False)  # fmt: skip
    assert judged.returncode == 0, judged.stdout + judged.stderr


def expected(alert: str, user: str, job: str, summary: str) -> dict[str, Any]:
    return {
        "eval_time": "10m",
        "alertname": alert,
        "exp_alerts": [{
            "exp_labels": {"user": user, "job": job, "severity": "warning"},
            "exp_annotations": {"summary": summary},
        }],
    }  # fmt: skip


def alerts() -> list[dict[str, Any]]:
    groups = {group["name"]: group["rules"] for group in yaml.safe_load(RULES.read_text())["groups"]}
    found: list[dict[str, Any]] = groups["data-science-alerts"]
    return found
