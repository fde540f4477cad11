"""The dashboards of version 1 have data after the calls that they are about.

A Prometheus with the deployment's own configuration, apart from the intervals: nobody wants to wait for two scrapes
that are half a minute apart.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from compose.process import monitoring
from compose.process.stack import Stack
from tests.peers import curl
from tests.peers.dashboards import queries
from tests.peers.pages import commands, fits
from tests.peers.prometheus import Prometheus, running
from tests.system.deployment import ROOT, Deployment
from tests.system.test_version1 import FIRST, client, predict

pytestmark = [pytest.mark.system, pytest.mark.monitoring]
PAGE = ROOT / "docs" / "version1.md"
SEED = (
    'round(sum(rate(seldon_api_executor_server_requests_seconds_count{code="200"}[1m])) by '
    "(project_name, deployment_name, deployment_version, exported_service, code),0.0001)"
)
DEPLOYMENTS = ("mock-classifier", "halfplustwo", "custom-metrics")


def call_all(deployment: Deployment) -> None:
    with client(deployment, "gateway") as caller:
        for name in ("mock-classifier", "custom-metrics"):
            assert predict(caller, name, FIRST).status_code == 200
        answer = caller.post("/v1/models/halfplustwo:predict", json={"instances": [1.0, 2.0, 5.0]})
        assert answer.status_code == 200


@pytest.fixture(scope="module")
def watched(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """After calls of each deployment, between which there was a scrape: a counter that does not move has no rate."""
    if not isinstance(deployment.stack, Stack):
        pytest.skip("containers reach each other by names that are not this machine's")
    for name in DEPLOYMENTS:
        deployment.load_sample(f"{name}.yaml")
    configuration = yaml.safe_load(monitoring.config(deployment.stack.settings, deployment.stack.home))
    jobs = [job for job in configuration["scrape_configs"] if job["job_name"].startswith("v1-")]
    assert [job.pop("scrape_interval") for job in jobs] == ["30s", "30s"]
    faster = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
    with running(yaml.safe_dump(faster), tmp_path_factory.mktemp("prometheus")) as prometheus:
        call_all(deployment)
        series = "count by (deployment_name) (seldon_api_executor_server_requests_seconds_count{code='200'})"
        assert prometheus.until(lambda: {row["metric"]["deployment_name"] for row in prometheus.ask(series)} >= {
            *DEPLOYMENTS
        })  # fmt: skip
        call_all(deployment)
        yield prometheus


def test_every_panel_of_version_1_has_data(watched: Prometheus) -> None:
    """Variables at `All`."""
    of_version_1 = list(queries("seldon_version1"))
    assert len({query.panel for query in of_version_1}) == 11
    without = set(of_version_1)

    def all_answered() -> bool:
        without.difference_update({query for query in without if watched.ask(query.expression)})
        return not without

    watched.until(all_answered)
    assert without == set()


def test_prediction_analytics_draws_both_protocols(watched: Prometheus) -> None:
    panels = {query.panel: query.expression for query in queries() if query.dashboard == "Prediction Analytics"}

    def drawn(panel: str, label: str) -> set[str]:
        return {row["metric"].get(label, "") for row in watched.ask(panels[panel])}

    for panel, label in (
        ("Predictions", "deployment_name"),
        ("Prediction Latency", "deployment_name"),
        ("Requests by Model Image", "model_image"),
        ("Latency by Model Image", "model_image"),
    ):
        watched.until(lambda panel=panel, label=label: drawn(panel, label) >= set(DEPLOYMENTS))  # type: ignore[misc]
        assert drawn(panel, label) >= set(DEPLOYMENTS), panel


def test_the_query_of_the_source_returns_rows(watched: Prometheus) -> None:
    def rows() -> dict[str, dict[str, str]]:
        found = watched.ask(SEED)
        return {row["metric"]["deployment_name"]: row["metric"] for row in found if float(row["value"][1]) > 0}

    watched.until(lambda: rows().keys() >= set(DEPLOYMENTS))
    for name in DEPLOYMENTS:
        labels = rows()[name]
        assert labels.pop("deployment_version").isdecimal()
        assert labels == {
            "project_name": "seldon-mesh",
            "deployment_name": name,
            "exported_service": "predictions",
            "code": "200",
        }


def test_the_console_query_of_the_source(watched: Prometheus) -> None:
    assert watched.until(lambda: watched.value("mygauge") == 100)


def test_both_ports_are_targets_of_the_deployment(deployment: Deployment) -> None:
    prometheus = Prometheus(f"http://127.0.0.1:{deployment.stack.port('PROMETHEUS_PORT')}")
    wanted = {
        f"http://127.0.0.1:{deployment.stack.port(port)}/prometheus": "up"
        for port in ("V1_GATEWAY_HTTP_PORT", "SERVER_MLSERVER_V1_METRICS_PORT")
    }
    assert prometheus.until(lambda: wanted.items() <= prometheus.targets().items()), prometheus.targets()


def test_the_commands_of_the_page(deployment: Deployment, watched: Prometheus, tmp_path: Path) -> None:
    """Each prints what the page says, with this deployment's ports and the Prometheus that asks more often."""
    ports = {
        "8000": deployment.stack.port("V1_GATEWAY_HTTP_PORT"),
        "9000": deployment.stack.port("ENVOY_DATA_PORT"),
        "6000": deployment.stack.port("SERVER_MLSERVER_V1_METRICS_PORT"),
        "9090": int(watched.url.rpartition(":")[2]),
    }
    curl.put_into(tmp_path)
    programs = (tmp_path, deployment.stack.home.program("main", "seldon").parent, os.environ["PATH"])
    environment = {
        "PATH": os.pathsep.join(map(str, programs)),
        "HOME": str(deployment.stack.home.root),
        "SELDON_SCHEDULE_HOST": deployment.scheduler_address,
        "SELDON_INFER_HOST": deployment.data_address,
        "no_proxy": "*",
    }
    run = list(commands(PAGE))
    assert len(run) > 15
    for command in run:
        text = re.sub(r"localhost:(\d+)", lambda found: f"127.0.0.1:{ports[found[1]]}", command.text)
        done = subprocess.run(
            ["bash", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert fits(command.output, done.stdout), f"{text}\nprinted\n{done.stdout}\nand not\n{command.output}"
