"""What tests of several areas share: the broker, the mark of those that use it, and the programs that they find."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.peers import base_system
from tests.peers.broker import Broker, kind_for_tests, running

# No test asserts a speed, and a busy machine may take seconds to make up one input.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """What happens to be installed on a machine helps no test: what the project does not bring is not on the PATH."""
    folder = tempfile.TemporaryDirectory(prefix="seldon-tests-path-")
    config.add_cleanup(folder.cleanup)
    base_system.link(Path(folder.name), (*base_system.BASE, *base_system.PACKAGES, *base_system.CONTAINERS))
    os.environ["PATH"] = folder.name


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One for the whole session; each test uses topics of its own."""
    with running(kind_for_tests()) as started:
        yield started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
