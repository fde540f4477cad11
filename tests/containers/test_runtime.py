"""Which way the system runs, and why."""

from pathlib import Path

import pytest

from compose import runtime
from shared.errors import InvalidInput


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_docker_plain_processes(path: Path) -> None:
    assert runtime.choose("auto") == ("process", "there is no docker command on this machine")


def test_without_an_engine_plain_processes(path: Path) -> None:
    program(path, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    chosen, reason = runtime.choose("auto")
    assert chosen == "process"
    assert "Cannot connect to the Docker daemon" in reason


def test_with_an_engine_containers(path: Path) -> None:
    program(path, "docker", "exit 0")
    assert runtime.choose("auto")[0] == "compose"


def test_the_older_compose_does_as_well(path: Path) -> None:
    program(path, "docker", '[ "$1" = info ]')
    chosen, reason = runtime.choose("auto")
    assert (chosen, "without Compose" in reason) == ("process", True)
    program(path, "docker-compose", "exit 0")
    assert runtime.choose("auto")[0] == "compose"


def test_what_is_asked_for_is_not_questioned(path: Path) -> None:
    assert runtime.choose("compose")[0] == "compose"
    assert runtime.choose("process")[0] == "process"
    with pytest.raises(InvalidInput, match="RUNTIME"):
        runtime.choose("podman")
