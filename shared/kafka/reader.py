"""A consumer of any number of partitions, assigned by hand: adding one takes milliseconds and stops no other."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared.kafka.config import KafkaConfig

Record: TypeAlias = ConsumerRecord[bytes | None, bytes | None]

_POLL_SECONDS: Final = 1.0
_IDLE_WAITS: Final = ((60.0, 100), (5.0, 25))
"""Seconds without a record, and the milliseconds that a fetch then waits, for brokers that do not wake a fetch."""


class Reader:
    """Positions are kept here, not in a group: whoever adds a partition says where reading starts."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._assigned = asyncio.Event()
        self._last_record = time.monotonic()

    async def start(self) -> None:
        """Connect. Raises aiokafka's KafkaConnectionError when no broker answers."""
        config = self._config
        consumer = AIOKafkaConsumer(
            bootstrap_servers=config.bootstrap_servers,
            enable_auto_commit=False,
            group_id=None,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=config.fetch_wait_ms,
            **config.connection,
            **config.consumer,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        self._assign()

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def position(self, partition: TopicPartition) -> int:
        """The offset that is read next. Raises KeyError for a partition that was not added."""
        return self._positions[partition]

    def add(self, starts: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets; one that is read already is set back or forward to its offset."""
        self._positions.update(starts)
        self._assign()

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop reading; partitions that are not read are ignored."""
        for partition in partitions:
            self._positions.pop(partition, None)
            self._paused.discard(partition)
        self._assign()

    def pause(self, partition: TopicPartition) -> None:
        """Read no more of this partition until `resume`; its position stays."""
        if partition in self._positions and partition not in self._paused:
            self._paused.add(partition)
            if self._consumer is not None:
                self._consumer.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        if partition in self._paused:
            self._paused.discard(partition)
            if self._consumer is not None and partition in self._positions:
                self._consumer.resume(partition)

    async def poll(self, max_records: int | None = None) -> dict[TopicPartition, list[Record]]:
        """The next records by partition, in order; empty after a second without any."""
        if not self._positions:
            self._assigned.clear()
            try:
                await asyncio.wait_for(self._assigned.wait(), _POLL_SECONDS)
            except TimeoutError:
                return {}
        assert self._consumer is not None, "start the reader first"
        self._adapt_wait()
        batches = await self._consumer.getmany(timeout_ms=int(_POLL_SECONDS * 1000), max_records=max_records)
        taken: dict[TopicPartition, list[Record]] = {}
        for partition, records in batches.items():
            position = self._positions.get(partition)
            if not records or position is None:
                continue  # removed while the fetch was on its way
            self._positions[partition] = records[-1].offset + 1
            taken[partition] = records
        if taken:
            self._last_record = time.monotonic()
        return taken

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each partition."""
        assert self._consumer is not None, "start the reader first"
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(list(partitions))
        return ends

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the oldest record that each partition still has."""
        assert self._consumer is not None, "start the reader first"
        starts: dict[TopicPartition, int] = await self._consumer.beginning_offsets(list(partitions))
        return starts

    def _assign(self) -> None:
        if self._consumer is None:
            return
        if self._positions:
            self._consumer.assign(list(self._positions))
            for partition, position in self._positions.items():
                self._consumer.seek(partition, position)
            if self._paused:
                self._consumer.pause(*self._paused)
            self._assigned.set()
        else:
            self._consumer.unsubscribe()

    def _adapt_wait(self) -> None:
        """Ask less often when nothing comes: a broker that has to be asked every few milliseconds costs a core."""
        assert self._consumer is not None
        idle = time.monotonic() - self._last_record
        wait = self._config.fetch_wait_ms
        for seconds, milliseconds in _IDLE_WAITS:
            if idle > seconds:
                wait = max(wait, milliseconds)
                break
        # The client has no public way to change this while it runs.
        self._consumer._fetcher._fetch_max_wait_ms = wait
