"""The ends of logs as fetches tell them. Asked directly, Tansu tells the offset after its last batch's first record."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest

from shared.kafka import aiokafka_private as private

_NO_ERROR: Final = 0
_READ_UNCOMMITTED: Final = 0
_FETCH_BYTES: Final = 1
# Without time to wait, Tansu answers nothing.
_WAIT_MS: Final = 20


async def log_ends(consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Raises a KafkaError."""
    listed: dict[TopicPartition, int] = await consumer.end_offsets(list(partitions))
    by_leader: dict[int, dict[str, list[tuple[int, int, int]]]] = defaultdict(lambda: defaultdict(list))
    for (topic, number), end in listed.items():
        leader = private.consumer_client(consumer).cluster.leader_for_partition(TopicPartition(topic, number))
        if leader not in (None, -1):
            by_leader[leader][topic].append((number, end, _FETCH_BYTES))
    for leader, topics in by_leader.items():
        request = FetchRequest(_WAIT_MS, 1, _FETCH_BYTES, _READ_UNCOMMITTED, list(topics.items()))
        response: Any = await private.ask_leader(consumer, leader, request)
        for topic, entries in response.topics:
            for number, code, end, *_ in entries:
                if code == _NO_ERROR:
                    partition = TopicPartition(topic, number)
                    listed[partition] = max(listed[partition], end)
    return listed
