"""What a person does to a deployment that runs, without saying again how it was made."""

import os
import subprocess

from tests.system.conftest import ROOT
from tests.system.deployment import Deployment

PART = "modelgateway"
OTHERWISE = {"SELDON_PORT_OFFSET": "1", "DATAFLOW_REPLICAS": "5", "KAFKA": "broker.example:9092"}
"""Of the shell, and of no concern to what runs."""


def make(deployment: Deployment, target: str) -> str:
    home = deployment.stack.home
    folders = {"SELDON_HOME": str(home.root), "SELDON_VENVS": str(home.venvs), "SELDON_SAMPLES": str(home.samples)}
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "200", **OTHERWISE, **folders}
    command = ["make", "--no-print-directory", target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_make_acts_on_what_was_deployed(deployment: Deployment) -> None:
    rows = {row.part: row for row in deployment.stack.status()}
    assert make(deployment, f"stop-{PART}") == f"{PART} stopped\n"
    try:
        shown = make(deployment, "status")
        assert all(str(port) in shown for row in rows.values() if row.part != PART for port in row.ports)
        assert "dataflow-1" not in shown
        (line,) = (line for line in shown.splitlines() if PART in line)
        assert "ready" not in line
    finally:
        make(deployment, f"start-{PART}")
    deployment.stack.wait_ready(timeout=120)


def test_seldon_shows_the_addresses_of_its_deployment(deployment: Deployment) -> None:
    shown = deployment.seldon("config", "addresses").stdout
    assert deployment.scheduler_address in shown
    assert deployment.data_address in shown
    assert shown.count("the deployment of this command") == 4
