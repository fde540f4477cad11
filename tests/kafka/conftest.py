"""One broker for all tests of this folder, which use topics of their own."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.kafka.clients import KafkaClients
from tests.peers.broker import Broker


@pytest.fixture
async def clients(broker: Broker) -> AsyncIterator[KafkaClients]:
    """Connected; topics that they make have three partitions."""
    clients = KafkaClients(replace(broker.config, partitions=3))
    await clients.start(lambda _: None)
    yield clients
    await clients.stop()


@pytest.fixture
def topic() -> str:
    """A name that nothing else uses; it does not exist yet."""
    return f"test.{uuid.uuid4().hex}"
