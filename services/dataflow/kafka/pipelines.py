"""The pipeline versions of this engine: taken up, cut over to newer ones, drained, handed over, started again."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from mlops.chainer.chainer_pb2 import PipelineUpdateMessage

from services.dataflow import metrics
from services.dataflow.core.flow import Flow
from services.dataflow.core.ledger import Ledger, Start
from services.dataflow.core.topology import Topology
from services.dataflow.core.valve import DEFAULT_MOST_BYTES, DEFAULT_MOST_REQUESTS, Valve
from services.dataflow.kafka.commits import Commits
from services.dataflow.kafka.engine import Engine
from services.dataflow.kafka.outbox import Outbox, sentence
from services.dataflow.kafka.recovery import clamped, tell_emitted
from services.dataflow.kafka.running import Running, partitions_of
from shared.backoff import Attempts
from shared.errors import SeldonError
from shared.kafka.clients import KafkaClients
from shared.logs import logger
from shared.owners import owners_of, share
from shared.tracing.tracer import OFF, Tracer

_SETTLE_SECONDS: Final = 4.0
_LONGEST_DRAIN_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.05
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0
_log = logger("pipelines")

Offsets: TypeAlias = dict[TopicPartition, int]


class Pipelines:
    """Operations of one pipeline have to come one after the other; different pipelines are independent."""

    def __init__(
        self,
        me: str,
        clients: KafkaClients,
        join_window_ms: int,
        kafka: Callable[[str], None],
        tracer: Tracer = OFF,
        valve: Valve | None = None,
    ) -> None:
        """`kafka` is told what is wrong with it, and an empty text when nothing is."""
        self._me = me
        self._clients = clients
        self._join_window_ms = join_window_ms
        self._outbox = Outbox(clients.writer, tracer, self._has_finished, self._has_failed)
        valve = valve or Valve(DEFAULT_MOST_REQUESTS, DEFAULT_MOST_BYTES)
        self._engine = Engine(clients.reader, self._outbox, tracer, valve, self._has_failed)
        self._commits = Commits(clients, self._engine, kafka)
        self._at_work: dict[str, Running] = {}
        self._messages: dict[str, PipelineUpdateMessage] = {}
        self._draining: dict[str, asyncio.Task[None]] = {}
        self._restarts: set[asyncio.Task[None]] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self) -> None:
        """Until cancelled. Raises Unavailable when a log that was being read is gone."""
        tasks = [asyncio.create_task(part.run()) for part in (self._outbox, self._engine, self._commits)]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def create(self, message: PipelineUpdateMessage) -> None:
        """Work on this version from now on, on the partitions that its owners leave to this engine.

        Raises InvalidInput for a pipeline that makes no sense, Unavailable, DeadlineExceeded or a KafkaError when
        Kafka does not do what it takes.
        """
        topology, owners = Topology(message), owners_of(message)
        async with self._locks[topology.pipeline]:
            self._stop_draining(topology.uid)
            found = self._at_work.get(topology.uid)
            if found is not None and found.owners == owners and not found.failed:
                return
            if found is not None:
                await self._stop(found)
            await self._start(topology, owners, message)

    async def delete(self, message: PipelineUpdateMessage) -> Awaitable[None] | None:
        """Stop working on this version.

        With a newer version at work, or with topics to remove, its requests are finished first: then the result is
        what to wait for. Otherwise it is handed over: another engine may start when this returns.
        """
        async with self._locks[message.pipeline]:
            self._stop_draining(message.uid)
            found = self._at_work.get(message.uid)
            names = self._clients.config.topics
            topics = [names.pipeline_inputs(message.pipeline), names.pipeline_outputs(message.pipeline)]
            topics = topics if message.updates else []
            if found is None:
                if topics:
                    await self._clients.topics.delete(topics)
                return None
            if not topics and not self._newer(found):
                await self._stop(found)
                return None
            task = asyncio.create_task(
                self._drain(found.uid, found.topology.pipeline, topics), name=f"draining {found.name}"
            )
            self._draining[found.uid] = task
            return task

    @property
    def in_flight(self) -> int:
        """Requests that are not finished."""
        return sum(running.flow.in_flight for running in self._at_work.values())

    async def close(self) -> None:
        """Hand everything over, within a few seconds."""
        for task in (*self._draining.values(), *self._restarts):
            task.cancel()
        await asyncio.gather(*(self._stop(running) for running in list(self._at_work.values())))

    async def _start(self, topology: Topology, owners: tuple[str, ...], message: PipelineUpdateMessage) -> None:
        clients = self._clients
        counts = await clients.topics.ensure({*topology.accepts, *topology.sinks})
        sources = self._share(topology.accepts, counts, owners)
        sinks = self._share(topology.sinks, counts, owners)
        group = clients.config.groups.dataflow(topology.uid)
        committed = await clients.offsets.fetch(group, {*sources, *sinks})
        ends = await clients.reader.end_offsets({*sources, *sinks}) if sources else {}
        known = await clamped(clients.reader, committed, ends)
        positions = {sink: known.get(sink, ends[sink]) for sink in sinks}
        flow = Flow(topology, counts, self._join_window_ms)
        told = await tell_emitted(clients.config, flow, topology, positions, ends)
        end = await clients.offsets.fetch(_end_group(group), sources)
        async with self._takeover(self._older(topology)) as cut:
            starts = {source: _start_of(source, known, cut, ends) for source in sources}
            ledger = Ledger(
                {source: Start(starts[source], ends[source] if source in known else 0) for source in sources},
                positions,
                {sink: ends[sink] for sink in sinks},
            )
            running = Running(topology, owners, group, counts, flow, ledger, committed, starts)
            await self._commits.commit(running)
        await self._end_where_newer_began(running, end)
        self._at_work[topology.uid], self._messages[topology.uid] = running, message
        self._commits.add(running)
        self._engine.attach(running)
        metrics.VERSIONS.set(len(self._at_work))
        _log.info("started", pipeline=running.name, uid=running.uid, partitions=len(sources), emitted_before=told)

    def _share(self, topics: Iterable[str], counts: Mapping[str, int], owners: tuple[str, ...]) -> set[TopicPartition]:
        lowest = min(counts.values())
        return partitions_of({topic: counts[topic] for topic in topics}, share(owners, self._me, lowest), lowest)

    @contextlib.asynccontextmanager
    async def _takeover(self, older: Running | None) -> AsyncIterator["_Cut"]:
        """Within: the older version takes nothing more that enters the pipeline. Afterwards that is committed.

        The newer version's start is to be committed within. A restart between the two commits repeats the cut, which
        is right because neither version has read anything behind it.
        """
        if older is None:
            yield _Cut({}, {})
            return
        async with older.commit_lock:
            at = {TopicPartition(*entry): offset for entry, offset in older.ledger.cut_at.items()}
            fresh = not at
            if fresh:
                at = {entry: self._engine.position(older, entry) for entry in older.entries}
                older.ledger.cut(at)
            reached = {TopicPartition(*source): self._engine.position(older, source) for source in older.ledger.sources}
            try:
                yield _Cut(at, reached)
                if fresh:
                    await self._clients.offsets.commit(_end_group(older.group), at)
            except BaseException:
                if fresh:
                    self._has_failed(older, "a newer version could not take over")
                raise

    async def _end_where_newer_began(self, running: Running, end: Offsets) -> None:
        """`end` is what was committed when a newer version took over, if one did."""
        newer = self._newer(running)
        if not end and newer is not None:
            end = {entry: newer.starts[entry] for entry in running.entries if entry in newer.starts}
            await self._clients.offsets.commit(_end_group(running.group), end)
        running.ledger.cut(end)

    def _older(self, topology: Topology) -> Running | None:
        """The newest of the older versions."""
        found = [
            running
            for running in self._at_work.values()
            if running.topology.pipeline == topology.pipeline and running.topology.version < topology.version
        ]
        return max(found, key=lambda running: running.topology.version, default=None)

    def _newer(self, running: Running) -> Running | None:
        """The oldest of the newer versions."""
        found = [
            other
            for other in self._at_work.values()
            if other.topology.pipeline == running.topology.pipeline
            and other.topology.version > running.topology.version
        ]
        return min(found, key=lambda other: other.topology.version, default=None)

    # Stopping

    async def _stop(self, running: Running) -> None:
        """Finish sending, commit. What Kafka does not acknowledge in time is left to whoever comes next."""
        self._engine.detach(running)
        self._at_work.pop(running.uid, None)
        self._messages.pop(running.uid, None)
        self._commits.remove(running)
        metrics.VERSIONS.set(len(self._at_work))
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._outbox.settled(running)
                if not running.failed:
                    await self._commits.commit(running)
            _log.info("stopped", pipeline=running.name, uid=running.uid, unfinished=running.ledger.unfinished)
        except (KafkaError, OSError, TimeoutError) as error:
            metrics.COMMIT_FAILURES.inc()
            _log.warning("stopped without a last commit", pipeline=running.name, reason=sentence(error))

    async def _drain(self, uid: str, pipeline: str, topics: Sequence[str]) -> None:
        waited = 0.0
        while (running := self._at_work.get(uid)) and not self._drained(running) and waited < _LONGEST_DRAIN_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS
        async with self._locks[pipeline]:
            self._draining.pop(uid, None)
            if running is not None:
                await self._stop(running)
            if topics:
                await self._clients.topics.delete(topics)

    def _drained(self, running: Running) -> bool:
        """Nothing in flight, and nothing more to come from before the cut."""
        if not running.ledger.cut_at:
            running.ledger.cut({entry: self._engine.position(running, entry) for entry in running.entries})
        reached = all(self._engine.position(running, entry) >= at for entry, at in running.ledger.cut_at.items())
        return reached and not running.flow.in_flight and not running.failed

    def _stop_draining(self, uid: str) -> None:
        task = self._draining.pop(uid, None)
        if task is not None:
            task.cancel()

    def _has_finished(self, running: Running) -> None:
        self._commits.worth(running)

    def _has_failed(self, running: Running, reason: str) -> None:
        """The version's records are not taken: void what it did since its committed offsets, and start from those."""
        if running.failed:
            return
        running.failed = True
        _log.warning("starting again", pipeline=running.name, reason=reason)
        metrics.RESTARTS.inc()
        task = asyncio.create_task(self._start_again(running), name=f"starting {running.name} again")
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _start_again(self, running: Running) -> None:
        async for attempt in Attempts(_FIRST_DELAY, _LONGEST_DELAY):
            async with self._locks[running.topology.pipeline]:
                if self._at_work.get(running.uid) is not running:
                    return
                message = self._messages[running.uid]
                self._engine.detach(running)
                try:
                    # What is still on its way must not arrive after the sinks have been looked at.
                    await self._outbox.settled(running)
                    await self._start(running.topology, running.owners, message)
                except (KafkaError, SeldonError, OSError) as error:
                    reason = sentence(error)
                else:
                    self._commits.remove(running)
                    return
            _log.warning("not started again", pipeline=running.name, reason=reason, next_attempt_seconds=attempt.delay)


@dataclass(frozen=True, slots=True)
class _Cut:
    at: Offsets
    """Where the newer version takes over what enters the pipeline."""
    reached: Offsets
    """What the older one has read, of everything."""


def _start_of(partition: TopicPartition, known: Offsets, cut: _Cut, ends: Offsets) -> int:
    """Behind a cut never before it; else what was committed, what an older version has reached, or the end."""
    if partition in cut.at:
        return max(known.get(partition, 0), cut.at[partition])
    return known.get(partition, cut.reached.get(partition, ends[partition]))


def _end_group(group: str) -> str:
    """The group whose offsets say where a newer version took over."""
    return f"{group}-end"
