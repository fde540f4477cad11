"""The broker that tests of several areas share, and the mark of those that use one."""

from collections.abc import Iterator

import pytest

from tests.peers.broker import Broker, kind_for_tests, running


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One for the whole session; each test uses topics of its own."""
    with running(kind_for_tests()) as started:
        yield started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
