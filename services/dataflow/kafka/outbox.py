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
from services.dataflow.kafka.record_batches import RecordBatch
from services.dataflow.kafka.refusals import error_records
from services.dataflow.kafka.running import Running
from services.dataflow.kafka.sending import Sending
from services.dataflow.kafka.spans import Sends
from shared.kafka.names import partition_of
from shared.kafka.writer import Writer
from shared.logs import logger
from shared.tracing.log_fields import of_request
from shared.tracing.tracer import Tracer

_MOST_RECORDS: Final = 10_000
_MOST_BYTES: Final = 256 * 1024 * 1024
_STUCK_SECONDS: Final = 5.0
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
    refused: list[tuple[Emission, Exception]] = field(default_factory=list)
    """What could not even be put into a batch."""
    done: asyncio.Future[None] | None = None
    queued: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class _Share:
    """What is outstanding of one version."""

    records: int = 0
    size: int = 0
    parcels: deque[_Parcel] | None = None
    """To be settled; None while nobody is at it."""
    oldest: _Parcel | None = None
    counts: bool = True
    """Among what there is room for."""


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
        self._sending = Sending(writer)
        self._shares: dict[Running, _Share] = {}
        """Of versions with anything outstanding."""
        self._settling: set[asyncio.Task[None]] = set()
        self._to_send, self._has_room = asyncio.Event(), asyncio.Event()
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
        """Wait until little enough is outstanding. A version whose records are stuck does not count for long."""
        while not self._has_room.is_set():
            try:
                async with asyncio.timeout(_STUCK_SECONDS):
                    await self._has_room.wait()
            except TimeoutError:
                self._leave_out_stuck()

    async def settled(self, running: Running) -> None:
        """Wait until everything that was put so far is acknowledged, or has failed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue(_Parcel(running, (), (), 0, done=done))
        await done

    async def run(self) -> None:
        """Send and settle until cancelled."""
        try:
            await self._send_all()
        finally:
            for task in self._settling:
                task.cancel()
            await asyncio.gather(self._sending.stop(), *self._settling, return_exceptions=True)

    def _queue(self, parcel: _Parcel) -> None:
        self._account(parcel.running, len(parcel.emissions), parcel.size)
        self._unsent.append(parcel)
        self._to_send.set()

    def _account(self, running: Running, records: int, size: int) -> None:
        share = self._shares.setdefault(running, _Share())
        share.records += records
        share.size += size
        if share.counts:
            self._records += records
            self._bytes += size
            self._look_for_room()
        if share.parcels is None and not share.records:
            del self._shares[running]

    def _look_for_room(self) -> None:
        if self._records < _MOST_RECORDS and self._bytes < _MOST_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    def _leave_out_stuck(self) -> None:
        """Their versions start again from what is committed, once their records are settled in one way or another."""
        now = time.perf_counter()
        for running, share in list(self._shares.items()):
            if share.counts and share.oldest is not None and now - share.oldest.queued > _STUCK_SECONDS:
                share.counts = False
                self._records -= share.records
                self._bytes -= share.size
                topics = ", ".join(sorted({topic for (topic, _), _ in share.oldest.batches}))
                metrics.SEND_FAILURES.labels("stuck").inc()
                self._failed(running, f"Kafka has not taken records of {topics} for {_STUCK_SECONDS:g} s")
        self._look_for_room()

    async def _send_all(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while self._unsent:
                taken = self._take_unsent()
                self._pack(taken)
                await self._sending.flush()
                for parcel in taken:
                    self._let_settle(parcel)

    def _take_unsent(self) -> list[_Parcel]:
        taken: list[_Parcel] = []
        size = 0
        while self._unsent and size < _MOST_BYTES_AT_ONCE:
            parcel = self._unsent.popleft()
            taken.append(parcel)
            size += parcel.size
        return taken

    def _pack(self, parcels: Iterable[_Parcel]) -> None:
        now = int(time.time() * 1000)
        for parcel in parcels:
            if parcel.running.failed:
                continue
            inside: dict[RecordBatch, tuple[str, int]] = {}
            for emission in parcel.emissions:
                try:
                    batch = self._sending.add(parcel.running, emission, now)
                except Exception as error:
                    parcel.refused.append((emission, error))
                else:
                    inside[batch] = (emission.topic, emission.partition)
            parcel.batches = [(partition, batch) for batch, partition in inside.items()]

    def _let_settle(self, parcel: _Parcel) -> None:
        """In order for each version: one that waits keeps no other from going on."""
        share = self._shares.setdefault(parcel.running, _Share())
        if share.parcels is not None:
            share.parcels.append(parcel)
            return
        share.parcels = deque([parcel])
        task = asyncio.create_task(self._settle_all(parcel.running, share), name=f"settling {parcel.running.name}")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle_all(self, running: Running, share: _Share) -> None:
        while share.parcels:
            parcel = share.oldest = share.parcels.popleft()
            try:
                await self._settle(parcel)
            except Exception as error:
                _log.exception("not settled", pipeline=running.name, exc_info=error)
                self._failed(running, f"internal error: {type(error).__name__}: {error}")
                _tell(parcel)
            if parcel.emissions and not running.failed:
                metrics.ACKNOWLEDGE_SECONDS.observe(time.perf_counter() - parcel.queued)
            if not share.parcels:
                share.parcels = share.oldest = None
            self._account(running, -len(parcel.emissions), -parcel.size)
        metrics.OUTSTANDING.set(self._records)

    async def _settle(self, parcel: _Parcel) -> None:
        running, ledger = parcel.running, parcel.running.ledger
        for partition, batch in parcel.batches:
            try:
                # Batches are acknowledged together more often than not: awaiting one after the other rarely waits.
                ledger.grown(partition, await batch.end())
            except Exception as error:
                await self._batch_refused(running, batch, error)
        for emission, refusal in parcel.refused:
            await self._refused(running, emission, refusal)
        if not running.failed:
            for place in parcel.finished:
                ledger.finish((place.topic, place.partition), place.offset)
            if parcel.finished:
                self._finished(running)
        if self._traces:
            self._sends.end(parcel.emissions, "not taken by Kafka" if running.failed else "")
        _tell(parcel)

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


def _tell(parcel: _Parcel) -> None:
    if parcel.done is not None and not parcel.done.done():
        parcel.done.set_result(None)


def _size(emission: Emission) -> int:
    return len(emission.value or b"") + len(emission.key or b"")


def sentence(error: BaseException) -> str:
    """An error of Kafka's client for people."""
    return str(error) or type(error).__name__
