"""What the tests of the clients do again and again."""

import asyncio
from collections.abc import Iterable

from aiokafka import TopicPartition

from shared.kafka.clients import KafkaClients
from shared.kafka.reader import Reader, Record

WAIT_SECONDS = 60


async def write(clients: KafkaClients, topic: str, values: Iterable[str], partition: int = 0) -> None:
    """Send and wait until all are acknowledged."""
    acknowledged = [await clients.writer.send(topic, value.encode(), b"0.r.1", partition, []) for value in values]
    await asyncio.wait_for(asyncio.gather(*acknowledged), WAIT_SECONDS)


async def read(reader: Reader, count: int) -> dict[TopicPartition, list[Record]]:
    """The next `count` records, or more if they come together."""
    taken: dict[TopicPartition, list[Record]] = {}
    async with asyncio.timeout(WAIT_SECONDS):
        while sum(map(len, taken.values())) < count:
            for partition, records in (await reader.poll()).items():
                taken.setdefault(partition, []).extend(records)
    return taken


async def read_values(reader: Reader, count: int) -> list[str]:
    return [text(record) for records in (await read(reader, count)).values() for record in records]


def text(record: Record) -> str:
    assert record.value is not None
    value: str = record.value.decode()
    return value
