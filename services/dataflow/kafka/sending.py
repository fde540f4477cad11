"""Batches on their way to the broker, in the order of each partition: none waits for another partition's."""

import asyncio
from collections import deque
from typing import Final, TypeAlias

from aiokafka.errors import KafkaTimeoutError

from services.dataflow.core.records import Emission
from services.dataflow.kafka.record_batches import RecordBatch
from services.dataflow.kafka.running import Running
from shared.kafka.writer import Writer

Partition: TypeAlias = tuple[str, int]
_GIVEN_UP: Final = KafkaTimeoutError("given up before it was sent")


class Sending:
    """A partition without a leader, or whose topic is gone, may keep what is for it for as long as it likes."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._filling: dict[Partition, RecordBatch] = {}
        """Of this turn, for partitions where nothing waits."""
        self._waiting: dict[Partition, deque[RecordBatch]] = {}
        """Behind what is being sent; the last one takes more."""
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, running: Running, emission: Emission, now_ms: int) -> RecordBatch:
        """Put a record into the next batch for its partition. Raises what the client says of a record like this."""
        partition = (emission.topic, emission.partition)
        waiting = self._waiting.get(partition)
        batch = (waiting[-1] if waiting else None) if waiting is not None else self._filling.get(partition)
        if batch is not None and batch.add(running, emission, now_ms):
            return batch
        more = RecordBatch(self._writer)
        more.add(running, emission, now_ms)
        if waiting is not None:
            waiting.append(more)
        elif batch is not None:
            self._start(partition, deque([batch, more]))
        else:
            self._filling[partition] = more
        return more

    async def flush(self) -> None:
        """Send what was added since the last time, or let it wait where something else does."""
        filled, self._filling = self._filling, {}
        for partition, batch in filled.items():
            if partition in self._waiting:
                self._waiting[partition].append(batch)
            elif self._writer.takes_at_once(*partition):
                await batch.send(self._writer, *partition)
            else:
                self._start(partition, deque([batch]))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, partition: Partition, batches: deque[RecordBatch]) -> None:
        self._filling.pop(partition, None)
        self._waiting[partition] = batches
        task = asyncio.create_task(self._send(partition, batches), name=f"sending to {partition[0]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, partition: Partition, batches: deque[RecordBatch]) -> None:
        while batches:
            batch = batches.popleft()
            if all(running.failed for running, _ in batch.entries):
                batch.refuse(_GIVEN_UP)
            else:
                await batch.send(self._writer, *partition)
        del self._waiting[partition]
