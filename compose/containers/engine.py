"""Docker and its Compose on this machine: which command there is, and whether an engine answers it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from shared.errors import Unavailable

_LOOK_SECONDS: Final = 10.0
_LONGEST_REASON: Final = 300


def find_compose() -> tuple[str, ...]:
    """How Compose is called: `docker compose`, or `docker-compose` where there is only the older one.

    Raises Unavailable saying what is missing, the engine included.
    """
    if shutil.which("docker") is None:
        raise Unavailable("there is no docker command on this machine")
    problem = _problem(("docker", "info", "--format", "{{.ServerVersion}}"))
    if problem:
        raise Unavailable(f"no Docker engine answers: {problem}")
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]) and not _problem((*command, "version")):
            return command
    raise Unavailable("Docker is here without Compose: install the package docker-compose-plugin")


def run(command: tuple[str, ...], environment: Mapping[str, str] | None = None, folder: str | None = None) -> str:
    """What the command prints. Raises Unavailable with the end of what it says when it fails."""
    clean = clean_environment(environment)
    done = subprocess.run(command, env=clean, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout).strip()[-_LONGEST_REASON:]}")
    return done.stdout


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Without PYTHONPATH: the older Compose is a Python program with a package of the same name as ours."""
    return {name: value for name, value in (environment or os.environ).items() if name != "PYTHONPATH"}


def _problem(command: tuple[str, ...]) -> str:
    """Empty when the command works."""
    try:
        done = subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, timeout=_LOOK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_LOOK_SECONDS:.0f} s"
    except OSError as error:
        return str(error)
    said = (done.stderr or done.stdout).strip()
    return "" if done.returncode == 0 else (said.splitlines() or ["it failed without a word"])[-1][:_LONGEST_REASON]
