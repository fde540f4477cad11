"""A producer: batches what is sent within one turn of the event loop, acknowledged by all replicas."""

import asyncio
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from shared.kafka import aiokafka_private as private
from shared.kafka.config import KafkaConfig
from shared.kafka.headers import Headers

_FLUSH_SECONDS: Final = 3.0


class Writer:
    """Sends are queued in order per partition; each gives a future with the record's place in its partition."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises aiokafka's KafkaConnectionError when no broker answers."""
        config = self._config
        options = {"max_request_size": config.message_max_bytes, "acks": "all", **config.producer}
        producer = AIOKafkaProducer(bootstrap_servers=config.bootstrap_servers, **config.connection, **options)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Flush and disconnect. What no broker takes within three seconds fails."""
        if self._producer is None:
            return
        producer, self._producer = self._producer, None
        stopping = asyncio.create_task(producer.stop())
        await asyncio.wait([stopping], timeout=_FLUSH_SECONDS)
        if not stopping.done():
            await private.give_up_sending(producer, KafkaTimeoutError("no broker took the record before the stop"))
        await stopping

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, headers: Headers
    ) -> asyncio.Future[RecordMetadata]:
        """Queue one record; waits only when the queue of its partition is full. Await the result for its ack."""
        producer = await self._producer_of(topic, partition)
        # The client's compiled part takes a list of headers and nothing else.
        sent: asyncio.Future[RecordMetadata] = await producer.send(topic, value, key, partition, headers=list(headers))
        return sent

    async def send_batch(self, batch: BatchBuilder, topic: str, partition: int) -> asyncio.Future[RecordMetadata]:
        """Queue many records of one partition; waits while a batch for it is queued. Gives the place of the first."""
        sent: asyncio.Future[RecordMetadata] = await (await self._producer_of(topic, partition)).send_batch(
            batch, topic, partition=partition
        )
        return sent

    def takes_at_once(self, topic: str, partition: int) -> bool:
        """Would `send_batch` return without waiting?"""
        known = self._started.client.cluster.partitions_for_topic(topic)
        free = known is not None and partition in known
        return free and not private.has_queued(self._started, TopicPartition(topic, partition))

    def new_batch(self, size: int) -> BatchBuilder:
        """For `send_batch`, of about so many bytes; a single record may be larger."""
        # The library's own way to make one takes its size from the producer's settings, which suit single sends.
        return BatchBuilder(size, private.compression(self._started))

    @property
    def longest_request(self) -> int:
        """Bytes; a longer batch is refused."""
        return private.longest_request(self._started)

    @property
    def _started(self) -> AIOKafkaProducer:
        assert self._producer is not None, "start the writer first"
        return self._producer

    async def _producer_of(self, topic: str, partition: int) -> AIOKafkaProducer:
        """Once it knows the partition, as far as there is something to know: a topic may have got more."""
        producer = self._started
        if partition not in (producer.client.cluster.partitions_for_topic(topic) or ()):
            with suppress(KafkaError):
                await private.learn(producer.client, [topic])
        return producer
