"""Private parts of aiokafka: what we need of it and it has no public way for. Nothing else of ours touches them.

Each function has a test of its own on a real broker (tests/kafka/test_aiokafka_private.py), which says what a new
version of the library has broken.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import CloseReason
from aiokafka.consumer.subscription_state import Assignment, TopicPartitionState
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

_POLLS: Final = ConnectionGroup.COORDINATION
"""Whose connection the fetches take: a consumer without a group has no other use for it."""
_SHORT_POLL_MS: Final = 50


class _Nothing:
    """The answer to a fetch that was ended here."""

    API_VERSION: Final = 0
    topics: Final = ()


class _PollsApart(AIOKafkaClient):  # type: ignore[misc]
    """A broker answers the requests of one connection in turn, so others would wait until a long poll is over."""

    changes = 0

    async def send(self, node_id: int, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:
        if not isinstance(request, FetchRequest):
            return await super().send(node_id, request, group=group)
        before = self.changes
        await self.ready(node_id, group=_POLLS)
        if self.changes != before:
            return _Nothing
        return await super().send(node_id, request, group=_POLLS)


class _Growing(Assignment):  # type: ignore[misc]
    """Partitions come and go one by one; the library's own is replaced as a whole, and all positions with it."""

    def __init__(self) -> None:
        super().__init__([])
        self._topic_partitions: set[TopicPartition] = set()
        self._gone = TopicPartitionState(self)

    def state_value(self, partition: TopicPartition) -> TopicPartitionState:
        # A fetch that was on its way asks for partitions that were removed; without a position its answer is dropped.
        return self._tp_state.get(partition, self._gone)


# Consumers


def prepare(consumer: AIOKafkaConsumer) -> None:
    """Once, before it starts: its fetches get a connection of their own, and it begins without partitions."""
    consumer._client.__class__ = _PollsApart
    consumer._subscription.assign_from_user([])
    consumer._subscription.subscription._assignment = _Growing()


def assign(consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]) -> None:
    """Read these partitions too, or again, from these offsets. Costs what is new."""
    assignment = consumer._subscription.subscription.assignment
    for partition, offset in starts.items():
        if partition not in assignment._topic_partitions:
            assignment._tp_state[partition] = TopicPartitionState(assignment)
            assignment._topic_partitions.add(partition)
        consumer.seek(partition, offset)


def unassign(consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
    assignment = consumer._subscription.subscription.assignment
    for partition in partitions:
        assignment._topic_partitions.discard(partition)
        assignment._tp_state.pop(partition, None)
        consumer._fetcher._records.pop(partition, None)


def end_polls(consumer: AIOKafkaConsumer) -> None:
    """What is to be read has changed: fetches that wait for records of before are asked anew."""
    if consumer._fetcher._fetch_max_wait_ms <= _SHORT_POLL_MS:
        return
    client = consumer._client
    client.changes += 1
    for node, group in [each for each in client._conns if each[1] == _POLLS]:
        connection = client._conns[node, group]
        if not connection._requests:
            continue
        del client._conns[node, group]
        for _, _, waiting in connection._requests:
            if not waiting.done():
                waiting.set_result(_Nothing)
        connection.close(reason=CloseReason.SHUTDOWN)


def set_fetch_wait(consumer: AIOKafkaConsumer, milliseconds: int) -> None:
    """How long a broker may wait for records, from the next fetch on."""
    consumer._fetcher._fetch_max_wait_ms = milliseconds


async def ask_leader(consumer: AIOKafkaConsumer, node: int, request: Any) -> Any:
    """A request of any kind, past the fetches that wait. Raises a KafkaError."""
    return await AIOKafkaClient.send(consumer._client, node, request)


async def close_connections(consumer: AIOKafkaConsumer) -> None:
    """For a consumer whose own `stop` was cancelled."""
    await consumer._client.close()


def consumer_client(consumer: AIOKafkaConsumer) -> AIOKafkaClient:
    """A producer has it as `client`."""
    return consumer._client


# What clients know of topics


async def learn(client: AIOKafkaClient, topics: Collection[str]) -> None:
    """Ask about these topics alone, and add what is told to what the client knows.

    The library asks about all of its topics again whenever there is one more. Raises a KafkaError.
    """
    response = await _metadata(client, topics)
    fresh = ClusterMetadata()
    fresh.update_metadata(response)
    cluster = client.cluster
    cluster._brokers.update(fresh._brokers)
    cluster._partitions.update(fresh._partitions)
    for node, partitions in fresh._broker_partitions.items():
        cluster._broker_partitions[node] |= partitions
    client._topics.update(fresh._partitions)


async def counts_of_partitions(admin: AIOKafkaAdminClient, topics: Collection[str]) -> dict[str, int]:
    """Of those topics that exist; asking does not make the others. Raises a KafkaError."""
    fresh = ClusterMetadata()
    fresh.need_all_topic_metadata = True  # says nothing about topics that do not exist
    fresh.update_metadata(await _metadata(admin._client, topics))
    return {topic: len(partitions) for topic, partitions in fresh._partitions.items() if partitions}


async def _metadata(client: AIOKafkaClient, topics: Collection[str]) -> Any:
    request = MetadataRequest(sorted(topics), allow_auto_topic_creation=False)
    return await AIOKafkaClient.send(client, client.get_random_node(), request)


async def ask_broker(admin: AIOKafkaAdminClient, node: int, request: Any) -> Any:
    """A request of any kind to one broker. Raises a KafkaError."""
    return await admin._send_request(request, node)


# Producers


def longest_request(producer: AIOKafkaProducer) -> int:
    """Bytes."""
    return int(producer._max_request_size)


def compression(producer: AIOKafkaProducer) -> int:
    """As a batch builder takes it."""
    return int(producer._message_accumulator._compression_type)


def has_queued(producer: AIOKafkaProducer, partition: TopicPartition) -> bool:
    """Is there a batch for this partition that has not been sent yet?"""
    return bool(producer._message_accumulator._batches.get(partition))


async def give_up_sending(producer: AIOKafkaProducer, error: Exception) -> None:
    """Fail what has not been sent; the library itself would wait until the requests time out."""
    await producer._sender.close()
    accumulator = producer._message_accumulator
    waiting = [batch for batches in accumulator._batches.values() for batch in batches]
    accumulator.fail_all(error)
    for batch in (*waiting, *accumulator._pending_batches):
        # Whoever sent them is going too: nobody else will look, and the loop would report each.
        for future in (batch.future, batch._drain_waiter, *(future for future, _ in batch._msg_futures)):
            if future.done() and not future.cancelled():
                future.exception()
