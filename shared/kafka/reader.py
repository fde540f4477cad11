"""A consumer of any number of partitions, assigned by hand: adding one takes milliseconds and stops no other."""

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from shared.backoff import Attempts
from shared.errors import Unavailable
from shared.kafka import aiokafka_private as private
from shared.kafka.config import KafkaConfig
from shared.kafka.log_ends import log_ends
from shared.kafka.log_watch import LogWatch
from shared.logs import logger

_log = logger("kafka")
Record: TypeAlias = ConsumerRecord[bytes | None, bytes | None]

_POLL_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 1.0
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 1.0
_NO_LEADER: Final = -1
_SECONDS_BETWEEN_PER_PARTITION: Final = 0.0001
_QUIET_SECONDS: Final = 1.0
_QUIET_MS_PER_PARTITION: Final = 0.025
"""A fetch costs both sides some microseconds for each partition, whether there are records or not."""
_IDLE_WAITS: Final = ((60.0, 100), (5.0, 25))
"""Seconds without a record, and the milliseconds that a fetch then waits, for brokers that do not wake a fetch."""


class Reader:
    """Positions are kept here, not in a group: whoever adds a partition says where reading starts."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._strange: set[TopicPartition] = set()
        """Of which it is not known yet which broker leads them; the others are read meanwhile."""
        self._learning: asyncio.Task[None] | None = None
        self._assigned = asyncio.Event()
        self._last_record = time.monotonic()
        self._watch = LogWatch()
        self._looked = 0.0
        self._asked_anew = -math.inf
        self._asking: asyncio.TimerHandle | None = None

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
        private.prepare(consumer)
        try:
            await consumer.start()
            # The consumer cannot end a task of its own that has not run yet.
            await asyncio.sleep(0)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        self._read(self._positions)

    async def stop(self) -> None:
        if self._consumer is None:
            return
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait((self._learning,))
            self._learning = None
        consumer, self._consumer = self._consumer, None
        # While the broker is away the client awaits a task that it has just cancelled itself. In a task of its own that
        # cancellation stays here, instead of looking like one of ours.
        stopping = asyncio.ensure_future(consumer.stop())
        await asyncio.wait((stopping,))
        if stopping.cancelled():
            await private.close_connections(consumer)
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
        self._read(starts)

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """Stop reading; partitions that are not read are ignored."""
        removed = [partition for partition in partitions if self._positions.pop(partition, None) is not None]
        self._paused.difference_update(removed)
        self._strange.difference_update(removed)
        self._watch.forget(removed)
        if self._consumer is not None:
            private.unassign(self._consumer, removed)

    def pause(self, partition: TopicPartition) -> None:
        """Read no more of this partition until `resume`; its position stays."""
        if partition in self._positions and partition not in self._paused:
            self._paused.add(partition)
            if self._consumer is not None and partition not in self._strange:
                self._consumer.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        if partition in self._paused:
            self._paused.discard(partition)
            if self._consumer is not None and partition in self._positions and partition not in self._strange:
                # Records that had been fetched before the pause were passed over.
                self._consumer.seek(partition, self._positions[partition])
                self._consumer.resume(partition)
                self._ask_anew()

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
        await self._check_ends(taken)
        return taken

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each partition."""
        wanted = list(partitions)
        return await log_ends(await self._consumer_of(wanted), wanted)

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the oldest record that each partition still has."""
        wanted = list(partitions)
        starts: dict[TopicPartition, int] = await (await self._consumer_of(wanted)).beginning_offsets(wanted)
        return starts

    def has_leader(self, partition: TopicPartition) -> bool:
        """As far as is known: asking for the offsets of one without a leader waits until it has one."""
        return self._leads(partition) not in (None, _NO_LEADER)

    async def _consumer_of(self, partitions: Iterable[TopicPartition]) -> AIOKafkaConsumer:
        """Once it knows their topics, as far as there is something to know."""
        assert self._consumer is not None, "start the reader first"
        unknown = {partition.topic for partition in partitions if self._leads(partition) is None}
        if unknown:
            with suppress(KafkaError):
                await private.learn(private.consumer_client(self._consumer), unknown)
        return self._consumer

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

    async def _check_ends(self, taken: Iterable[TopicPartition]) -> None:
        """Not every broker refuses to read behind the end of what it has; some let the reader wait for ever.

        Those that were read just now are looked at each time, all of them now and then.
        """
        assert self._consumer is not None
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            self._looked = now
            taken = self._positions.keys() - self._strange
        told = {partition: self._consumer.highwater(partition) for partition in taken}
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

    def _read(self, partitions: Iterable[TopicPartition]) -> None:
        """From their positions, as soon as it is known where they are."""
        if self._consumer is None:
            return
        known = {each: self._positions[each] for each in partitions if self.has_leader(each)}
        self._strange.difference_update(known)
        self._strange.update(each for each in partitions if each not in known)
        if known:
            private.assign(self._consumer, known)
            if paused := self._paused & known.keys():
                self._consumer.pause(*paused)
            self._ask_anew()
            self._assigned.set()
        self._start_learning()

    def _ask_anew(self) -> None:
        """A fetch names all partitions, so where they are many, several that are added share one."""
        now, loop = time.monotonic(), asyncio.get_running_loop()
        next_one = self._asked_anew + len(self._positions) * _SECONDS_BETWEEN_PER_PARTITION
        if self._asking is not None:
            return
        if now >= next_one:
            self._end_polls()
        else:
            self._asking = loop.call_later(next_one - now, self._end_polls)

    def _end_polls(self) -> None:
        self._asking, self._asked_anew = None, time.monotonic()
        if self._consumer is not None:
            private.end_polls(self._consumer)

    def _start_learning(self) -> None:
        if self._strange and self._learning is None:
            self._learning = asyncio.create_task(self._learn(), name="finding the leaders of partitions")
            self._learning.add_done_callback(self._learned)

    async def _learn(self) -> None:
        assert self._consumer is not None
        client = private.consumer_client(self._consumer)
        async for _ in Attempts(_FIRST_DELAY, _LONGEST_DELAY):
            with suppress(KafkaError):
                await private.learn(client, {partition.topic for partition in self._strange})
            self._read([partition for partition in self._strange if self.has_leader(partition)])
            if not self._strange:
                return

    def _learned(self, task: asyncio.Task[None]) -> None:
        self._learning = None
        if not task.cancelled():
            self._start_learning()

    def _leads(self, partition: TopicPartition) -> int | None:
        """The broker that leads a partition; -1 when none does, None when nothing is known of it."""
        assert self._consumer is not None, "start the reader first"
        leader: int | None = private.consumer_client(self._consumer).cluster.leader_for_partition(partition)
        return leader

    def _adapt_wait(self) -> None:
        """Ask less often when nothing comes: a broker that has to be asked every few milliseconds costs a core."""
        assert self._consumer is not None
        idle = time.monotonic() - self._last_record
        wait = self._config.fetch_wait_ms
        for seconds, milliseconds in _IDLE_WAITS:
            if idle > seconds:
                wait = max(wait, milliseconds)
                break
        if idle > _QUIET_SECONDS:
            wait = max(wait, min(_IDLE_WAITS[0][1], int(len(self._positions) * _QUIET_MS_PER_PARTITION)))
        private.set_fetch_wait(self._consumer, wait)
