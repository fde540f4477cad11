"""The broker that tests of several areas share, and the mark of those that use one."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.peers.broker import Broker, kind_for_tests, running

# No test asserts a speed, and a busy machine may take seconds to make up one input.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One for the whole session; each test uses topics of its own."""
    with running(kind_for_tests()) as started:
        yield started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
