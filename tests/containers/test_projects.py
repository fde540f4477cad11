"""Two checkouts on one machine share no Compose project.

A program that writes down how it is called stands in for Docker, since few machines that tests run on have an engine.
"""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from compose import remembered
from compose.containers.stack import ContainerStack, project_of, published_ports
from compose.process.home import REPOSITORY, Home
from compose.process.settings import load
from compose.process.stack import Stack
from shared.errors import InvalidInput, Unavailable
from tests.peers.ports import free_port

DOCKER = """echo "$COMPOSE_PROJECT_NAME|$*" >> {calls}
case "$*" in
  "compose config --services") printf 'scheduler\\ndataflow\\ndataflow-more\\n';;
  ps*) cat {containers} 2>/dev/null || true;;
  inspect*) cat {inspected};;
esac"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with a line for each call: the project, and what Docker was asked for."""
    file = tmp_path / "calls"
    docker = tmp_path / "docker"
    names = {"calls": file, "containers": tmp_path / "containers", "inspected": tmp_path / "inspected"}
    docker.write_text("#!/bin/sh\nPATH=/bin:/usr/bin\n" + DOCKER.format(**names) + "\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    return file


def said(calls: Path, what: str) -> list[str]:
    """Projects of the calls that begin like this."""
    lines = [line.partition("|") for line in calls.read_text().splitlines()]
    return [project for project, _, arguments in lines if arguments.startswith(what)]


def in_home(home: Path, **overrides: str) -> ContainerStack:
    return ContainerStack(home, env=overrides)


def test_every_home_has_a_project_of_its_own(tmp_path: Path, calls: Path) -> None:
    homes = [tmp_path / checkout / "Seldon Mesh" / ".seldon" for checkout in ("a", "b")]
    for home in homes:
        in_home(home).down(purge=True)
    first, second = said(calls, "compose down --remove-orphans --volumes")
    assert first != second
    assert [first, second] == [project_of(home) for home in homes]
    assert first.startswith("seldon-seldon-mesh-")


def test_a_name_that_is_given_is_taken(tmp_path: Path, calls: Path) -> None:
    in_home(tmp_path / "home", COMPOSE_PROJECT_NAME="mine").down()
    assert said(calls, "compose down") == ["mine"]


def test_ending_plain_processes_asks_docker_for_nothing(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELDON_HOME", str(tmp_path / "home"))
    Stack(installed_in=REPOSITORY / ".seldon").down(purge=True)
    assert not calls.exists()


def test_containers_are_found_again_as_they_were_deployed(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELDON_HOME", str(tmp_path / "home"))
    remembered.remember(Home.of({}, tmp_path / "home"), "compose", load({"SELDON_PORT_OFFSET": "500"}), ["scheduler"])
    stack = ContainerStack.deployed()
    assert stack.port("ENVOY_DATA_PORT") == 9500
    assert [row.part for row in stack.status()] == ["dataflow"]
    stack.down()
    assert remembered.deployed(stack.home) == []


def container(service: str, number: int) -> dict[str, Any]:
    labels = {"com.docker.compose.service": service, "com.docker.compose.container-number": str(number)}
    return {"Id": f"id-of-{service}-{number}", "Config": {"Labels": labels}}


def test_one_of_several_replicas_is_stopped_and_started(tmp_path: Path, calls: Path) -> None:
    (tmp_path / "containers").write_text("all of them\n")
    made = [container("dataflow", 1), container("dataflow-more", 1), container("dataflow-more", 2)]
    (tmp_path / "inspected").write_text(json.dumps(made))
    stack = in_home(tmp_path / "home")
    stack.stop("dataflow-2")
    stack.start("dataflow-2")
    stack.stop("dataflow")
    assert len(said(calls, "stop id-of-dataflow-more-2")) == len(said(calls, "start id-of-dataflow-more-2")) == 1
    assert len(said(calls, "compose stop dataflow")) == 1
    with pytest.raises(InvalidInput, match="dataflow-3"):
        stack.stop("dataflow-3")


def test_taken_ports_are_named_before_anything_starts(tmp_path: Path, calls: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        stack = in_home(tmp_path / "home", SCHEDULER_SERVER_PORT=str(port), BIND_HOST="127.0.0.1")
        with pytest.raises(Unavailable, match=rf"scheduler needs port {port}.*SELDON_PORT_OFFSET=\d+"):
            stack.up()
    assert said(calls, "compose up") == []
    assert remembered.deployed(stack.home) == []


def test_published_ports_are_read_off_the_file() -> None:
    ports = ["${BIND_HOST}:${A_PORT}:${A_PORT}", "${BIND_HOST}:${B_PORT}:4317"]
    assert published_ports({"ports": ports}) == ["A_PORT", "B_PORT"]
    assert published_ports({}) == []
