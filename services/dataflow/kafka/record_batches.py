"""Many records to one partition in one go: a future for each batch instead of one for each record."""

import asyncio
from typing import Final

from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from services.dataflow.core.records import Emission
from services.dataflow.kafka.running import Running
from shared.kafka.writer import Writer

BATCH_BYTES: Final = 256 * 1024
"""Of one batch, unless a single record is larger."""


class RecordBatch:
    """Records of one partition, on their way together."""

    __slots__ = ("_is_queued", "_sent", "builder", "entries", "is_settled", "limit")

    def __init__(self, writer: Writer) -> None:
        self.limit = writer.longest_request
        self.builder = writer.new_batch(BATCH_BYTES)
        self.entries: list[tuple[Running, Emission]] = []
        self._sent: asyncio.Future[RecordMetadata] | Exception | None = None
        self._is_queued = asyncio.Event()
        self.is_settled = False
        """Has failed, and what follows from that has been done."""

    def add(self, running: Running, emission: Emission, now_ms: int) -> bool:
        """False when it is full. A record that is larger than any may be spoils the batch."""
        added = self.builder.append(timestamp=now_ms, key=emission.key, value=emission.value, headers=emission.headers)
        if added is None:
            return False
        self.entries.append((running, emission))
        if added.size > self.limit:
            self.refuse(MessageSizeTooLargeError(f"{added.size} bytes, allowed are {self.limit}"))
        return True

    async def send(self, writer: Writer, topic: str, partition: int) -> None:
        """Queue it behind what is queued for the partition. Failures are kept for whoever settles it."""
        if self._sent is not None:
            return
        try:
            self._sent = await writer.send_batch(self.builder, topic, partition)
            self._is_queued.set()
        except Exception as error:
            self.refuse(error)

    def refuse(self, error: Exception) -> None:
        """It will not be sent."""
        self._sent = error
        self._is_queued.set()

    async def end(self) -> int:
        """The offset after its last record, once it is acknowledged. Raises what it failed with."""
        if self._sent is None:
            await self._is_queued.wait()
        sent = self._sent
        if isinstance(sent, Exception):
            raise sent
        assert sent is not None
        place = sent.result() if sent.done() else await sent
        return int(place.offset) + len(self.entries)
