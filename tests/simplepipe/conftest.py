"""One environment, one interpreter in it, and one Pushgateway for all tests; each test has jobs of its own."""

from collections.abc import Iterator

import pytest

from tests.peers import pushgateway
from tests.peers.pushgateway import Pushgateway
from tests.simplepipe.environment import Environment, Interpreter, installed


@pytest.fixture(scope="session")
def environment() -> Environment:
    return installed()


@pytest.fixture(scope="session")
def interpreter(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    started = Interpreter(environment, tmp_path_factory.mktemp("interpreter"))
    yield started
    started.end()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushgateway]:
    with pushgateway.running(tmp_path_factory.mktemp("pushgateway") / "log") as started:
        yield started


@pytest.fixture
def job(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return str(request.node.name)
