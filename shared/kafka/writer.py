"""A producer: batches what is sent within one turn of the event loop, acknowledged by all replicas."""

import asyncio
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import RecordMetadata

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
            # The library itself would wait until the requests time out.
            await producer._sender.close()
            producer._message_accumulator.fail_all(KafkaTimeoutError("no broker took the record before the stop"))
        await stopping

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, headers: Headers
    ) -> asyncio.Future[RecordMetadata]:
        """Queue one record; waits only when the queue of its partition is full. Await the result for its ack."""
        assert self._producer is not None, "start the writer first"
        # The client's compiled part takes a list of headers and nothing else.
        sent: asyncio.Future[RecordMetadata] = await self._producer.send(
            topic, value, key, partition, headers=list(headers)
        )
        return sent
