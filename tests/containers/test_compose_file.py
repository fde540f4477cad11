"""What holds for every service of docker-compose.yml, and whether both Compose programs take it, where they are."""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from compose.process.home import REPOSITORY
from compose.process.settings import PROFILES

FILE = REPOSITORY / "docker-compose.yml"
TEXT = FILE.read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
SETTINGS = dotenv_values(REPOSITORY / ".env", interpolate=False)
OF_MAKE = {"DATAFLOW_MORE", "MODELGATEWAY_MORE", "PIPELINEGATEWAY_MORE"}
ENDS_BY_ITSELF = {"samples", "simplepipe"}
WITHOUT_A_PORT = {"hodometer", "simplepipe"}
OURS = [name for name, service in SERVICES.items() if str(service["image"]).startswith("seldon-mesh/")]


def test_the_parts_of_the_issue_are_all_there() -> None:
    assert SERVICES.keys() >= {
        "envoy", "scheduler", "agent-mlserver", "mlserver", "agent-triton", "triton", "modelgateway", "pipelinegateway",
        "dataflow", "hodometer", "hodometer-receiver", "kafka", "prometheus", "grafana", "otel-collector",
        "jaeger-all-in-one", "pushgateway-alice", "pushgateway-bob", "simplepipe",
    }  # fmt: skip


def test_every_variable_is_a_setting_of_the_env_file() -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", TEXT))
    assert used - SETTINGS.keys() == OF_MAKE


def test_every_setting_with_a_tag_or_a_limit_is_used() -> None:
    unused = {name for name in SETTINGS if name.endswith(("_TAG", "_LIMIT")) and f"${{{name}}}" not in TEXT}
    assert unused == set()


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_nothing_listens_beyond_what_was_asked_for(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":\$\{[A-Z_]+_TAG\}$", service["image"]), service["image"]
    assert all(port.startswith("${BIND_HOST}:") for port in service.get("ports", []))
    assert "privileged" not in service
    assert "network_mode" not in service


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ENDS_BY_ITSELF])
def test_services_come_back_within_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"]
    assert "depends_on" not in service, "any may start first"


@pytest.mark.parametrize("name", OURS)
def test_our_own_services_have_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name in WITHOUT_A_PORT or "healthcheck" in service


@pytest.mark.parametrize("program", ["docker compose", "docker-compose"])
def test_compose_takes_the_file(program: str) -> None:
    command = program.split()
    # No PYTHONPATH: the older Compose is a Python program with a package of the same name as ours.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "COMPOSE_PROFILES": ",".join(PROFILES),
    }
    if (
        shutil.which(command[0]) is None
        or subprocess.run([*command, "version"], env=environment, capture_output=True, check=False).returncode
    ):
        pytest.skip(f"{program} is not on this machine")
    done = subprocess.run(
        [*command, "config"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load(done.stdout)["services"].keys() == SERVICES.keys()
