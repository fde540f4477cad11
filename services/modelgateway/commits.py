"""Commits how far each model's records are done, now and then and when a model is handed over."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.modelgateway.feed import Feed
from services.modelgateway.metrics import GatewayMetrics
from shared.kafka.clients import KafkaClients
from shared.logs import logger

_log = logger("commits")
_SECONDS: Final = 0.5


class Commits:
    """`status` is told what is wrong with Kafka, and an empty text when nothing is."""

    def __init__(self, clients: KafkaClients, metrics: GatewayMetrics, status: Callable[[str], None]) -> None:
        self._clients = clients
        self._metrics = metrics
        self._status = status
        # One commit at a time: an older one must not arrive after a younger one.
        self._lock = asyncio.Lock()
        self._failed = False

    async def run(self, feeds: Callable[[], Collection[Feed]]) -> None:
        """Every half a second what has changed since, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await self.commit_all(feeds())

    async def commit_all(self, feeds: Iterable[Feed]) -> None:
        """What fails is told and tried again in the next round."""
        async with self._lock:
            by_group: dict[str, list[tuple[Feed, dict[TopicPartition, int]]]] = defaultdict(list)
            for feed in feeds:
                if offsets := feed.committable():
                    by_group[feed.group].append((feed, offsets))
            for group, entries in by_group.items():
                await self._commit(group, entries)

    async def commit(self, feed: Feed, partitions: Iterable[TopicPartition]) -> bool:
        """For partitions that are handed over; False when Kafka does not take it."""
        async with self._lock:
            offsets = feed.committable(set(partitions) & feed.progress.keys())
            return not offsets or await self._commit(feed.group, [(feed, offsets)])

    async def _commit(self, group: str, entries: list[tuple[Feed, dict[TopicPartition, int]]]) -> bool:
        merged = {partition: offset for _, offsets in entries for partition, offset in offsets.items()}
        try:
            await self._clients.offsets.commit(group, merged)
        except (KafkaError, OSError) as error:
            reason = str(error) or type(error).__name__
            self._metrics.commit_failures.inc()
            self._failed = True
            self._status(f"kafka at {self._clients.config.bootstrap_servers} takes no offsets: {reason}")
            _log.warning("offsets not committed", group=group, reason=reason)
            return False
        for feed, offsets in entries:
            feed.committed.update(offsets)
        if self._failed:
            self._failed = False
            self._status("")
        return True
