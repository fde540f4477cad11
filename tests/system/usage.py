"""Events of the running system's hodometer, and further hodometers beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.system.deployment import ROOT, Deployment


def receiver(deployment: Deployment) -> str:
    return f"http://127.0.0.1:{deployment.stack.port('HODOMETER_RECEIVER_PORT')}"


def events(deployment: Deployment) -> list[dict[str, Any]]:
    """What the receiver has kept, in order of arrival."""
    kept: list[dict[str, Any]] = httpx.get(f"{receiver(deployment)}/events", trust_env=False).json()
    return kept


def id_of(event: dict[str, Any]) -> str:
    """What tells one event from every other."""
    text: str = event["properties"]["$insert_id"]
    return text


def event_of_a_new_start(deployment: Deployment) -> dict[str, Any]:
    """Kill the system's hodometer, and wait for what it says when it comes back."""
    before = {id_of(event) for event in events(deployment)}
    deployment.stack.kill("hodometer")
    deployment.wait_for(lambda: bool(fresh(deployment, before)), "the hodometer to publish")
    return fresh(deployment, before)[-1]


def fresh(deployment: Deployment, before: set[str]) -> list[dict[str, Any]]:
    return [event for event in events(deployment) if id_of(event) not in before]


@dataclass(slots=True)
class Collector:
    """A hodometer of the test's own. Reading its lines waits for them."""

    process: "subprocess.Popen[str]"
    said: list[str] = field(default_factory=list)
    """Lines of its log so far."""

    def printed(self) -> dict[str, Any]:
        """The next event on its output."""
        assert self.process.stdout is not None
        event: dict[str, Any] = json.loads(self.process.stdout.readline())
        return event

    def read_until(self, text: str) -> str:
        """The next line of its log with this text in it."""
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"it ended without {text!r}: {self.said}")


@contextmanager
def collector(deployment: Deployment, **variables: str) -> Iterator[Collector]:
    """It asks the deployment's scheduler, and prints its events unless `variables` name URLs; ended with the block."""
    address = urlsplit(f"//{deployment.scheduler_address}")
    asked = {
        "SCHEDULER_HOST": str(address.hostname),
        "SCHEDULER_PLAINTXT_PORT": str(address.port),
        "SCHEDULER_TLS_PORT": str(address.port),
        "PUBLISH_URL": "stdout:",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.hodometer"], cwd=ROOT, text=True,
        env={"PATH": os.defpath, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}", **asked, **variables},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Collector(process)
    finally:
        process.terminate()
        process.communicate()
