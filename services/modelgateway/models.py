"""Which models this gateway serves: their topics, their share of partitions, the start and the end of reading."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection
from typing import Final

from aiokafka import TopicPartition

from services.modelgateway.commits import Commits
from services.modelgateway.core.call_queue import CallQueue
from services.modelgateway.feed import Feed
from services.modelgateway.gateway import Gateway
from services.modelgateway.metrics import GatewayMetrics
from services.modelgateway.outputs import Destination
from shared.kafka.clients import KafkaClients
from shared.kafka.names import MODEL_GATEWAY
from shared.logs import logger
from shared.owners import share

_log = logger("models")
_HAND_OVER_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 3.0
_LAST_COMMIT_SECONDS: Final = 1.5


class Models:
    """Operations on one model run one after the other. They raise KafkaError, SeldonError or OSError."""

    def __init__(
        self,
        name: str,
        workers: int,
        max_consumers: int,
        clients: KafkaClients,
        gateway: Gateway,
        commits: Commits,
        metrics: GatewayMetrics,
    ) -> None:
        """`name` is this gateway's among the owners; `workers` the number of calls in flight for one model."""
        self._name = name
        self._workers = workers
        self._max_consumers = max_consumers
        self._clients = clients
        self._gateway = gateway
        self._commits = commits
        self._metrics = metrics
        self._feeds: dict[str, Feed] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def create(self, model: str, owners: tuple[str, ...]) -> bool:
        """Read this gateway's share of the model's records from where its group has come; False when it does."""
        async with self._locks[model]:
            feed = self._feeds.get(model)
            if feed is not None and feed.owners == owners:
                return False
            names = self._clients.config.topics
            inputs, outputs, errors = names.model_inputs(model), names.model_outputs(model), names.errors
            counts = await self._clients.topics.ensure((inputs, outputs, errors))
            if feed is None:
                destination = Destination(model, outputs, counts[outputs], errors, counts[errors])
                group = self._clients.config.groups.gateway(MODEL_GATEWAY, model, self._max_consumers)
                feed = Feed(model, group, destination, owners, CallQueue(self._workers))
            mine = {TopicPartition(inputs, number) for number in share(owners, self._name, counts[inputs])}
            await self._hand_over(feed, feed.progress.keys() - mine, _HAND_OVER_SECONDS)
            await self._take_up(feed, inputs, mine - feed.progress.keys())
            feed.owners = owners
            self._feeds[model] = feed
            self._show(feed)
            _log.info("model served", model=model, partitions=sorted(each.partition for each in mine), owners=owners)
            return True

    async def delete(self, model: str, with_topics: bool) -> None:
        """Finish what is in flight and commit it. A model that is not here is no error."""
        async with self._locks[model]:
            names = self._clients.config.topics
            inputs, outputs = names.model_inputs(model), names.model_outputs(model)
            feed = self._feeds.pop(model, None)
            if feed is not None:
                await self._hand_over(feed, list(feed.progress), _HAND_OVER_SECONDS)
                self._gateway.remove(inputs)
                _log.info("model left", model=model)
            if with_topics:
                await self._clients.topics.delete((inputs, outputs))
                _log.info("topics deleted", model=model)

    async def close(self, orderly: bool) -> None:
        """Stop reading; in good order, let calls end for a few seconds and commit. Otherwise all is done again."""
        feeds = list(self._feeds.values())
        seconds = _STOP_SECONDS if orderly else 0.0
        await asyncio.gather(*(self._gateway.quiesce(feed, list(feed.progress), seconds) for feed in feeds))
        if orderly:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_COMMIT_SECONDS):
                    await self._commits.commit_all(feeds)

    async def _hand_over(self, feed: Feed, partitions: Collection[TopicPartition], wait: float) -> None:
        await self._gateway.quiesce(feed, partitions, wait)
        if not await self._commits.commit(feed, partitions):
            _log.warning("records will be called again: their offsets are not committed", model=feed.model)
        self._gateway.forget(feed, partitions)

    async def _take_up(self, feed: Feed, topic: str, partitions: set[TopicPartition]) -> None:
        committed = await self._clients.offsets.fetch(feed.group, partitions)
        unread = partitions - committed.keys()
        oldest = await self._clients.reader.beginning_offsets(unread) if unread else {}
        feed.committed.update(committed)
        self._gateway.add(feed, topic, {**oldest, **committed})

    def _show(self, feed: Feed) -> None:
        queue, metrics = feed.queue, self._metrics
        metrics.in_flight.labels(feed.model).set_function(lambda: queue.calling)
        metrics.queued.labels(feed.model).set_function(lambda: queue.queued)
        metrics.unacknowledged.labels(feed.model).set_function(lambda: queue.unacknowledged)
        metrics.paused.labels(feed.model).set_function(lambda: feed.paused)
