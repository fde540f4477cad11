"""Many records to one partition in one go: a future for each batch instead of one for each record."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from services.dataflow.core.records import Emission
from services.dataflow.kafka.running import Running
from shared.kafka.writer import Writer

BATCH_BYTES: Final = 256 * 1024
"""Of one batch, unless a single record is larger."""


class RecordBatch:
    """Records of one partition, on their way together."""

    __slots__ = ("builder", "entries", "is_settled", "limit", "sent")

    def __init__(self, producer: Any) -> None:
        self.limit: int = producer._max_request_size
        # The library's own way to make one takes its size from the producer's settings, which suit single sends.
        compression = producer._message_accumulator._compression_type
        self.builder = BatchBuilder(BATCH_BYTES, compression)
        self.entries: list[tuple[Running, Emission]] = []
        self.sent: asyncio.Future[RecordMetadata] | Exception | None = None
        self.is_settled = False
        """Has failed, and what follows from that has been done."""

    def add(self, running: Running, emission: Emission, now_ms: int) -> bool:
        """False when it is full. A record that is larger than any may be spoils the batch."""
        added = self.builder.append(timestamp=now_ms, key=emission.key, value=emission.value, headers=emission.headers)
        if added is None:
            return False
        self.entries.append((running, emission))
        if added.size > self.limit:
            self.sent = MessageSizeTooLargeError(f"{added.size} bytes, allowed are {self.limit}")
        return True

    async def send(self, producer: Any, topic: str, partition: int) -> None:
        """Queue it behind what is queued for the partition. Failures are kept for whoever settles it."""
        if self.sent is not None:
            return
        try:
            self.sent = await producer.send_batch(self.builder, topic, partition=partition)
        except Exception as error:
            self.sent = error

    async def end(self) -> int:
        """The offset after its last record, once it is acknowledged. Raises what it failed with."""
        sent = self.sent
        if isinstance(sent, Exception):
            raise sent
        assert sent is not None, "send it first"
        place = sent.result() if sent.done() else await sent
        return int(place.offset) + len(self.entries)


def producer_of(writer: Writer) -> Any:
    assert writer._producer is not None, "start the writer first"
    return writer._producer


def waves(queues: dict[tuple[str, int], list[RecordBatch]]) -> Sequence[list[tuple[tuple[str, int], RecordBatch]]]:
    """First batches of all partitions, then their second ones: what goes to a broker at the same time."""
    longest = max((len(batches) for batches in queues.values()), default=0)
    return [
        [(partition, batches[index]) for partition, batches in queues.items() if index < len(batches)]
        for index in range(longest)
    ]
