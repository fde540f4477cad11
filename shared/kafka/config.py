"""How to reach Kafka: `kafka.json` and the documented environment variables, the same for every client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.kafka.names import GroupNames, TopicNames

DEFAULT_MESSAGE_MAX_BYTES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """`connection`, `consumer` and `producer` are keyword arguments of aiokafka's clients."""

    bootstrap_servers: str
    topics: TopicNames = field(default_factory=TopicNames)
    groups: GroupNames = field(default_factory=GroupNames)
    message_max_bytes: int = DEFAULT_MESSAGE_MAX_BYTES
    """Of one record; the same limit on every topic and client."""
    partitions: int = 1
    replication_factor: int = 1
    fetch_wait_ms: int = 500
    """How long the broker may keep a fetch waiting for data."""
    connection: Mapping[str, Any] = field(default_factory=dict)
    consumer: Mapping[str, Any] = field(default_factory=dict)
    producer: Mapping[str, Any] = field(default_factory=dict)
