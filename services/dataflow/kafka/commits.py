"""Commits offsets: soon for versions that work, now and then for those that only see records of others pass."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.dataflow import metrics
from services.dataflow.kafka.engine import Engine
from services.dataflow.kafka.outbox import sentence
from services.dataflow.kafka.running import Running
from shared.kafka.clients import KafkaClients
from shared.logs import logger

_SECONDS: Final = 0.5
_ROUNDS_BETWEEN_ALL: Final = 20
_AT_ONCE: Final = 16
_log = logger("commits")


class Commits:
    def __init__(self, clients: KafkaClients, engine: Engine, status: Callable[[str], None]) -> None:
        """`status` is told what is wrong with Kafka, and an empty text when nothing is."""
        self._status = status
        self._clients = clients
        self._engine = engine
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._versions: set[Running] = set()
        self._active: set[Running] = set()

    def add(self, running: Running) -> None:
        """Commit for this version from now on."""
        self._versions.add(running)

    def remove(self, running: Running) -> None:
        self._versions.discard(running)
        self._active.discard(running)
        with contextlib.suppress(KeyError):
            metrics.IN_FLIGHT.remove(*_labels(running))

    def worth(self, running: Running) -> None:
        """The version has something new to commit."""
        self._active.add(running)

    async def run(self) -> None:
        """Until cancelled."""
        round_number = 0
        while True:
            await asyncio.sleep(_SECONDS)
            round_number += 1
            if round_number % _ROUNDS_BETWEEN_ALL == 0:
                await self._look_at_sinks()
                chosen = set(self._versions)
            else:
                chosen = self._active & self._versions
            self._active.clear()
            await self.commit_all(chosen)

    async def commit_all(self, versions: Iterable[Running]) -> None:
        """Each once; one that fails is tried again in the next round."""
        await asyncio.gather(*(self._attempt(running) for running in versions))

    async def commit(self, running: Running) -> None:
        """What may be committed now. Raises a KafkaError."""
        async with running.commit_lock:
            await self._commit(running)

    async def _commit(self, running: Running) -> None:
        read_to = self._engine.read_to if running.attached else {}
        offsets = running.ledger.committable(read_to)
        changed = {
            TopicPartition(*partition): offset
            for partition, offset in offsets.items()
            if running.committed.get(TopicPartition(*partition)) != offset
        }
        if changed:
            await self._clients.offsets.commit(running.group, changed)
            running.committed.update(changed)

    async def _attempt(self, running: Running) -> None:
        metrics.IN_FLIGHT.labels(*_labels(running)).set(running.flow.in_flight)
        if running.failed:
            return
        async with self._slots:
            try:
                await self.commit(running)
                self._status("")
            except (KafkaError, OSError) as error:
                metrics.COMMIT_FAILURES.inc()
                self._active.add(running)
                self._status(f"kafka at {self._clients.config.bootstrap_servers}: {sentence(error)}")
                _log.warning("offsets not committed", pipeline=running.name, reason=sentence(error))

    async def _look_at_sinks(self) -> None:
        """Others write to the sinks as well; knowing how far they grew keeps a restart from reading all of that."""
        sinks = {TopicPartition(*sink) for running in self._versions for sink in running.ledger.sinks}
        if not sinks:
            return
        try:
            ends = await self._clients.reader.end_offsets(sinks)
        except (KafkaError, OSError) as error:
            _log.warning("ends of topics not known", reason=sentence(error))
            return
        # What is emitted because of records that are read from now on lies behind these ends.
        for running in self._versions:
            for sink in running.ledger.sinks:
                running.ledger.grown(sink, ends.get(TopicPartition(*sink), 0))


def _labels(running: Running) -> tuple[str, str]:
    return running.topology.pipeline, str(running.topology.version)
