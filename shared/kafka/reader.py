"""A consumer of any number of partitions, assigned by hand: adding one takes milliseconds and stops no other."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from shared.errors import Unavailable
from shared.kafka.config import KafkaConfig
from shared.kafka.log_ends import log_ends
from shared.kafka.log_watch import LogWatch
from shared.logs import logger

_log = logger("kafka")
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
        self._watch = LogWatch()

    async def start(self) -> None:
        """Connect. Raises aiokafka's KafkaConnectionError when no broker answers."""
        config = self._config
        consumer = AIOKafkaConsumer(
            bootstrap_servers=config.bootstrap_servers,
            enable_auto_commit=False,
            group_id=None,
            auto_offset_reset="none",
            fetch_max_wait_ms=config.fetch_wait_ms,
            **config.connection,
            **config.consumer,
        )
        try:
            await consumer.start()
            # The consumer cannot end a task of its own that has not run yet.
            await asyncio.sleep(0)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        self._assign()

    async def stop(self) -> None:
        if self._consumer is None:
            return
        consumer, self._consumer = self._consumer, None
        # While the broker is away the client awaits a task that it has just cancelled itself. In a task of its own that
        # cancellation stays here, instead of looking like one of ours.
        stopping = asyncio.ensure_future(consumer.stop())
        await asyncio.wait((stopping,))
        if stopping.cancelled():
            await consumer._client.close()
        else:
            stopping.result()

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
            self._watch.forget([partition])
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
                # Records that had been fetched before the pause were passed over.
                self._consumer.seek(partition, self._positions[partition])
                self._consumer.resume(partition)

    async def poll(self, max_records: int | None = None) -> dict[TopicPartition, list[Record]]:
        """The next records by partition, in order; empty after a second without any.

        Goes on at the oldest record where the broker dropped those before. Raises Unavailable when it has lost a
        whole log: all positions of this process are then worth nothing, so it should start afresh.
        """
        if not self._positions:
            self._assigned.clear()
            try:
                await asyncio.wait_for(self._assigned.wait(), _POLL_SECONDS)
            except TimeoutError:
                return {}
        assert self._consumer is not None, "start the reader first"
        self._adapt_wait()
        try:
            batches = await self._consumer.getmany(timeout_ms=int(_POLL_SECONDS * 1000), max_records=max_records)
        except OffsetOutOfRangeError as error:
            await self._go_on_after_gap(error.args[0])
            return {}
        taken: dict[TopicPartition, list[Record]] = {}
        for partition, records in batches.items():
            position = self._positions.get(partition)
            if not records or position is None or partition in self._paused:
                continue  # removed or paused while the fetch was on its way
            self._positions[partition] = records[-1].offset + 1
            taken[partition] = records
        if taken:
            self._last_record = time.monotonic()
        await self._check_ends()
        return taken

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each partition."""
        assert self._consumer is not None, "start the reader first"
        return await log_ends(self._consumer, partitions)

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the oldest record that each partition still has."""
        assert self._consumer is not None, "start the reader first"
        starts: dict[TopicPartition, int] = await self._consumer.beginning_offsets(list(partitions))
        return starts

    async def _go_on_after_gap(self, refused: Iterable[TopicPartition]) -> None:
        """The broker does not have what these partitions are to be read from."""
        wanted = [partition for partition in refused if partition in self._positions]
        try:
            oldest = await self.beginning_offsets(wanted)
            await self._compare(await self.end_offsets(wanted))
        except KafkaError:
            return  # The next fetch is refused in the same way.
        removed = {each: start for each, start in oldest.items() if start > self._positions.get(each, start)}
        for partition, start in removed.items():
            _log.warning("records were removed before they were read", topic=partition.topic, goes_on_at=start)
        self._set_back(removed)

    async def _check_ends(self) -> None:
        """Not every broker refuses to read behind the end of what it has; some let the reader wait for ever."""
        assert self._consumer is not None
        told = {partition: self._consumer.highwater(partition) for partition in self._positions}
        ends = {partition: end for partition, end in told.items() if end is not None}
        found = self._watch.look(ends, self._positions)
        if found.lost or found.foreign:
            # What comes with records may be behind for a moment after a change of leaders; this answer is not.
            with suppress(KafkaError):
                await self._compare(await self.end_offsets([*found.lost, *found.foreign]))

    async def _compare(self, ends: Mapping[TopicPartition, int]) -> None:
        found = self._watch.look(ends, self._positions)
        if found.lost:
            raise Unavailable(f"the log of {found.lost[0].topic} is gone: the broker lost records that it had")
        if found.foreign:
            _log.warning("topics were made anew since they were read", topics=[each.topic for each in found.foreign])
            self._set_back(await self.beginning_offsets(found.foreign))

    def _set_back(self, starts: Mapping[TopicPartition, int]) -> None:
        still_read = {partition: start for partition, start in starts.items() if partition in self._positions}
        if still_read:
            self.add(still_read)

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
