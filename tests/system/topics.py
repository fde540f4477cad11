"""What is on the deployment's topics."""

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from tests.system.deployment import Deployment

SECONDS = 30
PREFIX = "seldon.default"
_FETCH_WAIT_MS = 5


def bootstrap(deployment: Deployment) -> str:
    return f"127.0.0.1:{deployment.stack.port('KAFKA_BROKER_PORT')}"


async def wait_for_record(
    deployment: Deployment, topic: str, wanted: Callable[[ConsumerRecord[bytes, bytes]], bool]
) -> ConsumerRecord[bytes, bytes]:
    """The first record of the topic's only partition that is wanted, from the beginning on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap(deployment), fetch_max_wait_ms=_FETCH_WAIT_MS)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(SECONDS):
            async for record in consumer:
                if wanted(record):
                    return record
    finally:
        await consumer.stop()
    raise AssertionError("the consumer ended")


async def produce(
    deployment: Deployment, topic: str, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    """Write one record and wait until it is there."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap(deployment))
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, key, partition=0, headers=headers)
    finally:
        await producer.stop()


async def records(deployment: Deployment, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """Everything that is on the topic's only partition now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap(deployment), fetch_max_wait_ms=_FETCH_WAIT_MS)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        found: list[ConsumerRecord[bytes, bytes]] = []
        while await consumer.position(partition) < end:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found += batch
        return found
    finally:
        await consumer.stop()
