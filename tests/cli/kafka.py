"""Fills topics for the command line to read from."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from shared.kafka.config import KafkaConfig
from shared.kafka.topics import TopicAdmin

Produced = tuple[str, int, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Topic, partition, key, value, headers."""


def produce(address: str, records: Sequence[Produced], partitions: int = 2) -> None:
    asyncio.run(_produce(address, records, partitions))


async def _produce(address: str, records: Sequence[Produced], partitions: int) -> None:
    admin = TopicAdmin(KafkaConfig(address, partitions=partitions))
    await admin.start()
    await admin.ensure(record[0] for record in records)
    await admin.stop()
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        for topic, partition, key, value, headers in records:
            await producer.send_and_wait(topic, value, key, partition, headers=list(headers))
