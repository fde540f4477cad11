"""What one model's gateway keeps of its input topic: partitions that are read, records being worked on, offsets."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from services.modelgateway.core.call_queue import CallQueue
from services.modelgateway.outputs import Destination
from shared.kafka.progress import Progress
from shared.kafka.reader import Record


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A record to call the model with, and the partition's progress that waits for it."""

    record: Record
    progress: Progress
    read: float
    """When it was read, by the performance counter."""
    read_ns: int = 0
    """When it was read, since the epoch; only where somebody traces."""

    @property
    def size(self) -> int:
        """Bytes that it holds in memory."""
        return len(self.record.value or b"")


@dataclass(slots=True, eq=False)
class Feed:
    """One model at this gateway."""

    model: str
    group: str
    """Its consumer group."""
    destination: Destination
    owners: tuple[str, ...]
    queue: CallQueue[Job]
    progress: dict[TopicPartition, Progress] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    tasks: dict[asyncio.Task[None], Progress] = field(default_factory=dict)
    paused: bool = False
    answers_raw_only: bool = False
    """Its server cannot write its answers as typed contents: it is asked in raw ones, and answers so."""
    held: int = 0
    """Bytes of its records that were read and are not done with."""

    def committable(self, partitions: Iterable[TopicPartition] | None = None) -> dict[TopicPartition, int]:
        """Offsets that are further than what is committed; of all partitions unless some are named."""
        wanted = self.progress if partitions is None else partitions
        offsets = {partition: self.progress[partition].committable for partition in wanted}
        return {partition: offset for partition, offset in offsets.items() if self.committed.get(partition) != offset}
