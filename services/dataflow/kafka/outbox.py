"""What flows emit, on its way to Kafka: sent in order without waiting for it, settled in order when acknowledged."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka.errors import KafkaTimeoutError

from services.dataflow import metrics
from services.dataflow.core.records import Emission, Outcome, Place
from services.dataflow.kafka.record_batches import RecordBatch, waves
from services.dataflow.kafka.refusals import error_records
from services.dataflow.kafka.running import Running
from services.dataflow.kafka.spans import Sends
from shared.kafka.names import partition_of
from shared.kafka.writer import Writer
from shared.logs import logger
from shared.tracing.log_fields import of_request
from shared.tracing.tracer import Tracer

_MOST_RECORDS: Final = 10_000
_MOST_BYTES: Final = 256 * 1024 * 1024
_MOST_BYTES_AT_ONCE: Final = 4 * 1024 * 1024
_log = logger("outbox")


@dataclass(slots=True)
class _Parcel:
    running: Running
    emissions: Sequence[Emission]
    finished: Sequence[Place]
    size: int
    batches: list[tuple[tuple[str, int], RecordBatch]] = field(default_factory=list)
    """That hold its emissions, perhaps beside those of others."""
    done: asyncio.Future[None] | None = None
    queued: float = field(default_factory=time.perf_counter)


class Outbox:
    """`failed` is called with a version whose records Kafka did not take, for no fault of the records."""

    def __init__(
        self,
        writer: Writer,
        tracer: Tracer,
        finished: Callable[[Running], None],
        failed: Callable[[Running, str], None],
    ) -> None:
        """`finished` is called with a version that has records less to work on."""
        self._writer = writer
        self._finished = finished
        self._failed = failed
        self._traces = tracer.on
        self._sends = Sends(tracer)
        self._unsent: deque[_Parcel] = deque()
        self._unsettled: deque[_Parcel] = deque()
        self._to_send, self._to_settle, self._has_room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._has_room.set()
        self._records = 0
        self._bytes = 0

    def put(self, running: Running, outcome: Outcome) -> None:
        """Queue what a flow decided. Never refuses; whoever produces much waits for `room` first."""
        emissions = outcome.emissions
        if self._traces:
            self._sends.begin(emissions)
        size = sum(len(emission.value or b"") for emission in emissions)
        self._queue(_Parcel(running, emissions, outcome.finished, size))

    async def room(self) -> None:
        """Wait until little enough is outstanding."""
        await self._has_room.wait()

    async def settled(self, running: Running) -> None:
        """Wait until everything that was put so far is acknowledged, or has failed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue(_Parcel(running, (), (), 0, done=done))
        await done

    async def run(self) -> None:
        """Send and settle until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_all(), name="sending")
            tasks.create_task(self._settle_all(), name="settling")

    def _queue(self, parcel: _Parcel) -> None:
        self._account(len(parcel.emissions), parcel.size)
        self._unsent.append(parcel)
        self._to_send.set()

    def _account(self, records: int, size: int) -> None:
        self._records += records
        self._bytes += size
        if self._records < _MOST_RECORDS and self._bytes < _MOST_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _send_all(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while self._unsent:
                taken = self._take_unsent()
                for wave in waves(self._packed(taken)):
                    for (topic, partition), batch in wave:
                        await batch.send(self._writer, topic, partition)
                self._unsettled.extend(taken)
                self._to_settle.set()

    def _take_unsent(self) -> list[_Parcel]:
        taken: list[_Parcel] = []
        size = 0
        while self._unsent and size < _MOST_BYTES_AT_ONCE:
            parcel = self._unsent.popleft()
            taken.append(parcel)
            size += parcel.size
        return taken

    def _packed(self, parcels: Iterable[_Parcel]) -> dict[tuple[str, int], list[RecordBatch]]:
        """Batches by partition, in order."""
        queues: dict[tuple[str, int], list[RecordBatch]] = {}
        now = int(time.time() * 1000)
        for parcel in parcels:
            if parcel.running.failed:
                continue
            inside: dict[RecordBatch, tuple[str, int]] = {}
            for emission in parcel.emissions:
                partition = (emission.topic, emission.partition)
                batches = queues.get(partition)
                if batches is None:
                    batches = queues[partition] = [RecordBatch(self._writer)]
                batch = batches[-1]
                if not batch.add(parcel.running, emission, now):
                    batch = RecordBatch(self._writer)
                    batches.append(batch)
                    batch.add(parcel.running, emission, now)
                inside[batch] = partition
            parcel.batches = [(partition, batch) for batch, partition in inside.items()]
        return queues

    async def _settle_all(self) -> None:
        while True:
            await self._to_settle.wait()
            while self._unsettled:
                parcel = self._unsettled.popleft()
                await self._settle(parcel)
                if parcel.emissions and not parcel.running.failed:
                    metrics.ACKNOWLEDGE_SECONDS.observe(time.perf_counter() - parcel.queued)
                self._account(-len(parcel.emissions), -parcel.size)
            metrics.OUTSTANDING.set(self._records)
            self._to_settle.clear()

    async def _settle(self, parcel: _Parcel) -> None:
        running, ledger = parcel.running, parcel.running.ledger
        for partition, batch in parcel.batches:
            try:
                # Batches are acknowledged together more often than not: awaiting one after the other rarely waits.
                ledger.grown(partition, await batch.end())
            except Exception as error:
                await self._batch_refused(running, batch, error)
        if not running.failed:
            for place in parcel.finished:
                ledger.finish((place.topic, place.partition), place.offset)
            if parcel.finished:
                self._finished(running)
        if self._traces:
            self._sends.end(parcel.emissions, "not taken by Kafka" if running.failed else "")
        if parcel.done is not None and not parcel.done.done():
            parcel.done.set_result(None)

    async def _batch_refused(self, running: Running, batch: RecordBatch, error: Exception) -> None:
        if getattr(error, "retriable", False) or isinstance(error, KafkaTimeoutError):
            metrics.SEND_FAILURES.labels("kafka").inc()
            topic = batch.entries[0][1].topic
            self._failed(running, f"Kafka does not take records of {topic}: {sentence(error)}")
        elif not batch.is_settled:
            batch.is_settled = True
            # One record may have spoilt it for the others.
            for owner, emission in batch.entries:
                try:
                    await self._send_alone(emission)
                except Exception as failure:
                    await self._refused(owner, emission, failure)

    async def _send_alone(self, emission: Emission) -> None:
        topic, partition, key, value, record_headers = emission
        await (await self._writer.send(topic, value, key, partition, record_headers))

    async def _refused(self, running: Running, emission: Emission, error: Exception) -> None:
        metrics.SEND_FAILURES.labels("record").inc()
        pipeline = running.topology.pipeline
        reason = f"Kafka does not take a record of {_size(emission)} bytes on {emission.topic}: {sentence(error)}"
        about = of_request(emission.headers)
        _log.warning("record refused", pipeline=pipeline, topic=emission.topic, reason=reason, **about)
        self._sends.fail(emission, reason)
        for record in error_records(running.topology, emission, error, reason):
            partition = partition_of(record.key, running.partitions[record.topic])
            try:
                await self._send_alone(record._replace(partition=partition))
            except Exception as failure:
                _log.error("caller not told", pipeline=pipeline, reason=sentence(failure), **about)


def _size(emission: Emission) -> int:
    return len(emission.value or b"") + len(emission.key or b"")


def sentence(error: BaseException) -> str:
    """An error of Kafka's client for people."""
    return str(error) or type(error).__name__
