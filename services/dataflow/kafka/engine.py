"""The loop: reads, hands each record to the versions that it concerns, queues what they emit, keeps their timers."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.dataflow import metrics
from services.dataflow.core.index import Index, Routes
from services.dataflow.core.records import Arrival, Outcome
from services.dataflow.core.valve import NOTHING, Valve
from services.dataflow.kafka.outbox import Outbox, sentence
from services.dataflow.kafka.problems import ProblemLog
from services.dataflow.kafka.running import Running
from services.dataflow.kafka.spans import Receptions
from shared.delays import exponential
from shared.kafka.headers import PIPELINE, PIPELINE_VERSION
from shared.kafka.reader import Reader, Record
from shared.logs import logger
from shared.tracing.tracer import Tracer

_MOST_RECORDS: Final = 1000
"""Of one read: what is done with them happens in one turn of the event loop."""
_log = logger("engine")

Polled: TypeAlias = Mapping[TopicPartition, Sequence[Record]]


class Engine:
    """All versions share one reader: a partition that several read is fetched once."""

    def __init__(
        self, reader: Reader, outbox: Outbox, tracer: Tracer, valve: Valve, broken: Callable[[Running, str], None]
    ) -> None:
        """`broken` is told of a version that cannot go on as it is, and why."""
        self._reader = reader
        self._outbox = outbox
        self._tracer = tracer
        self._index: Index[Running] = Index()
        self._users: dict[TopicPartition, set[Running]] = {}
        self._read_to: dict[TopicPartition, int] = {}
        self._moved: dict[TopicPartition, int] = {}
        self._timers: list[tuple[int, int, Running]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._problems = ProblemLog()
        self._valve = valve
        self._broken = broken
        self._lets_in = True

    @property
    def read_to(self) -> Mapping[TopicPartition, int]:
        """How far each partition was read and handed out."""
        return self._read_to

    def position(self, running: Running, partition: TopicPartition) -> int:
        """The offset below which this version has seen every record that concerns it."""
        position = running.ledger.position(partition)
        return max(position, self._read_to.get(partition, 0)) if running.attached else position

    def attach(self, running: Running) -> None:
        """Hand records to this version from now on, from where its ledger starts."""
        topology = running.topology
        starts: dict[TopicPartition, int] = {}
        for source in running.ledger.sources:
            partition = TopicPartition(*source)
            users = self._users.setdefault(partition, set())
            start, read_to = running.ledger.position(partition), self._read_to.get(partition)
            if read_to is None or start < read_to:
                for other in users:
                    other.ledger.pass_over(partition, read_to or 0)
                starts[partition] = self._read_to[partition] = start
            users.add(running)
        self._index.add(
            running,
            topology.pipeline,
            topology.version,
            topology.input_topic,
            topology.accepts,
            running.ledger.sources,
        )
        running.attached = True
        if starts:
            self._reader.add(starts)
            self._moved |= starts
        if not self._lets_in:
            self._let_in(TopicPartition(*source) for source in running.ledger.sources)
        self._note_load(running)
        self._plan(running)

    def detach(self, running: Running) -> None:
        """Hand it nothing more; what it emitted so far is still sent."""
        if not running.attached:
            return
        self._index.remove(running, running.topology.accepts, running.ledger.sources)
        unused: list[TopicPartition] = []
        for source in running.ledger.sources:
            partition = TopicPartition(*source)
            running.ledger.pass_over(partition, self._read_to.get(partition, 0))
            users = self._users[partition]
            users.discard(running)
            if not users:
                unused.append(partition)
        running.attached = False
        self._note_load(running)
        for partition in unused:
            del self._users[partition]
            self._read_to.pop(partition, None)
            self._moved.pop(partition, None)
        if unused:
            self._reader.remove(unused)

    async def run(self) -> None:
        """Until cancelled. Raises Unavailable when a log that was being read is gone."""
        delays = exponential(0.1, 5.0)
        while True:
            await self._outbox.room()
            try:
                polled: Polled = await self._reader.poll(_MOST_RECORDS)
            except KafkaError as error:
                delay = next(delays)
                _log.warning("reading failed", reason=sentence(error), next_attempt_seconds=delay)
                await asyncio.sleep(delay)
                continue
            delays = exponential(0.1, 5.0)
            polled = self._settle_moves(polled)
            if polled:
                self._handle(polled)

    def _settle_moves(self, polled: Polled) -> Polled:
        """Leave out what was fetched before a partition was set back while the fetch was on its way."""
        if not self._moved:
            return polled
        moved, self._moved = self._moved, {}
        stale = {
            partition: start
            for partition, start in moved.items()
            if partition in polled and polled[partition][0].offset > start
        }
        if stale:
            self._reader.add(stale)
        return {partition: records for partition, records in polled.items() if partition not in stale}

    def _handle(self, polled: Polled) -> None:
        started = time.perf_counter()
        now = _now()
        work: dict[Running, list[Arrival]] = {}
        count = 0
        receptions = Receptions(self._tracer) if self._tracer.on else None
        for partition, records in polled.items():
            count += len(records)
            routes = self._index.of(partition)
            if routes is not None:
                for running, arrivals in _sorted_out(routes, partition, records).items():
                    try:
                        fresh = self._begin(running, partition, arrivals)
                    except Exception as error:
                        self._fail(running, error)
                        continue
                    if fresh:
                        if receptions is not None:
                            fresh = receptions.of(fresh)
                        work.setdefault(running, []).extend(fresh)
            if partition in self._read_to:
                self._read_to[partition] = records[-1].offset + 1
        for running, arrivals in work.items():
            self._receive(running, arrivals, now)
        if receptions is not None:
            receptions.end()
        metrics.BATCH_RECORDS.observe(count)
        metrics.BATCH_SECONDS.observe(time.perf_counter() - started)

    def _begin(self, running: Running, partition: TopicPartition, arrivals: list[Arrival]) -> list[Arrival]:
        position = running.ledger.position(partition)
        if arrivals[0].offset < position:
            arrivals = [arrival for arrival in arrivals if arrival.offset >= position]
        if arrivals:
            running.ledger.begin(partition, [arrival.offset for arrival in arrivals])
        return arrivals

    def _receive(self, running: Running, arrivals: list[Arrival], now: int) -> None:
        try:
            outcome = running.flow.receive(arrivals, now)
        except Exception as error:
            self._fail(running, error)
            return
        self._take(running, outcome, len(arrivals))

    def _fail(self, running: Running, error: Exception) -> None:
        """What belongs to one request is the flow's to settle; here its state as a whole is worth nothing any more."""
        if running.failed:
            return
        _log.exception("version broken", pipeline=running.name, exc_info=error)
        metrics.PROBLEMS.labels("broken").inc()
        self._broken(running, f"internal error: {type(error).__name__}: {error}")

    def _take(self, running: Running, outcome: Outcome, received: int) -> None:
        self._outbox.put(running, outcome)
        running.count(received, len(outcome.emissions))
        for problem in outcome.problems:
            self._problems.note(running.name, problem)
        self._note_load(running)
        self._plan(running)

    def _note_load(self, running: Running) -> None:
        load = running.flow.load if running.attached else NOTHING
        if load != running.load:
            self._valve.change(running.load, load)
            running.load = load
            metrics.HELD_BYTES.set(self._valve.bytes)
            if self._valve.is_open != self._lets_in:
                self._lets_in = self._valve.is_open
                metrics.HELD_BACK.set(not self._lets_in)
                if not self._lets_in:
                    metrics.TIMES_HELD_BACK.inc()
                self._let_in(self._users)

    def _let_in(self, partitions: Iterable[TopicPartition]) -> None:
        """Or hold back what would begin requests. What is waited for by those under way is always read."""
        for partition in partitions:
            if self._lets_in or not self._begins_requests(partition):
                self._reader.resume(partition)
            else:
                self._reader.pause(partition)

    def _begins_requests(self, partition: TopicPartition) -> bool:
        """And does nothing else."""
        routes = self._index.of(partition)
        return routes is not None and not any(readers.of_version for readers in routes.values())

    def _plan(self, running: Running) -> None:
        """A flow that is due later than planned is looked at as planned, and then planned anew."""
        due = running.flow.due()
        if due is None or (running.due is not None and running.due <= due):
            return
        running.due = due
        heapq.heappush(self._timers, (due, next(self._order), running))
        self._arm()

    def _arm(self) -> None:
        """One timer for whichever flow is due first."""
        timers = self._timers
        while timers and not (timers[0][2].attached and timers[0][2].due == timers[0][0]):
            heapq.heappop(timers)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if timers:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + max(timers[0][0] - _now(), 1) / 1000, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = _now()
        while self._timers and self._timers[0][0] <= now:
            due, _, running = heapq.heappop(self._timers)
            if running.attached and running.due == due:
                running.due = None
                try:
                    outcome = running.flow.tick(now)
                except Exception as error:
                    self._fail(running, error)
                    continue
                self._take(running, outcome, 0)
        self._arm()


def _sorted_out(
    routes: Routes[Running], partition: TopicPartition, records: Sequence[Record]
) -> dict[Running, list[Arrival]]:
    """The records of one partition by the version that they concern."""
    topic, number = partition
    found: dict[Running, list[Arrival]] = {}
    for record in records:
        readers, version = None, b""
        for name, value in record.headers:
            if name == PIPELINE:
                readers = routes.get(value) or readers
            elif name == PIPELINE_VERSION:
                version = value
        if readers is None:
            continue
        arrival = Arrival(topic, number, record.offset, record.key, record.value, record.headers)
        for running in readers.of_version.get(version, ()):
            found.setdefault(running, []).append(arrival)
        for running in readers.of_any:
            if running.ledger.takes(partition, record.offset):
                found.setdefault(running, []).append(arrival)
    return found


def _now() -> int:
    """Milliseconds since the epoch: what deadlines in records are counted in."""
    return int(time.time() * 1000)
