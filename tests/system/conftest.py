"""One deployment for the whole session, on ports of its own, so that it stands beside one that a person runs.

It is of plain processes, or of containers with RUNTIME=compose.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import tritonclient.http

from compose.containers.stack import ContainerStack
from compose.process.stack import Stack
from compose.status import Deployed
from tests.peers.ports import WORKER, deployment_offset
from tests.system.deployment import Deployment

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS_PORT_OFFSET = 15_000
PROFILES = {"COMPOSE_PROFILES": "usage,monitoring,tracing,v1,pushgateways"}
HOME = ROOT / ".seldon" / (f"system-test-{WORKER}" if WORKER else "system-test")


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """Up and ready; the logs of plain processes stay in `.seldon/system-test/logs` for reading."""
    stack = _containers() if os.environ.get("RUNTIME") == "compose" else _processes()
    stack.down(purge=True)
    stack.up()
    try:
        stack.wait_ready(timeout=240)
        yield Deployment(stack)
    finally:
        stack.down()


def _processes() -> Deployed:
    return Stack(home=HOME, port_offset=deployment_offset(), env=PROFILES, installed_in=ROOT / ".seldon")


def _containers() -> Deployed:
    stack = ContainerStack(HOME, CONTAINERS_PORT_OFFSET, PROFILES, installed_in=ROOT / ".seldon")
    stack.build()
    stack.leave_out_what_cannot_be_had()
    return stack


@pytest.fixture
def rest(deployment: Deployment) -> Iterator[httpx.Client]:
    """An HTTP client of Envoy's data port."""
    with httpx.Client(base_url=deployment.data_url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def triton_http(deployment: Deployment) -> Iterator[tritonclient.http.InferenceServerClient]:
    client = tritonclient.http.InferenceServerClient(deployment.data_address)
    yield client
    client.close()


@pytest.fixture
def load(deployment: Deployment) -> Callable[[str], str]:
    """Load a sample by file name, wait until it answers, and return its name."""
    return deployment.load_sample
