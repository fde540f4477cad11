"""What we take from inside aiokafka, each on a real broker: a new version of the library may have moved it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from shared.kafka import aiokafka_private as private
from shared.kafka.clients import KafkaClients
from shared.kafka.reader import Reader
from tests.kafka.reading import read_values, text, write
from tests.peers.broker import broker, kind_for_tests

PATIENCE = 30
LONG_POLL_MS = 300_000
"""Far more than the patience of the tests: whatever waits for such a poll fails them."""


@asynccontextmanager
async def consumer(clients: KafkaClients, wait_ms: int = 5) -> AsyncIterator[AIOKafkaConsumer]:
    made = AIOKafkaConsumer(
        bootstrap_servers=clients.config.bootstrap_servers,
        auto_offset_reset="none",
        fetch_max_wait_ms=wait_ms,
        request_timeout_ms=2 * LONG_POLL_MS,
    )
    private.prepare(made)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@asynccontextmanager
async def slow_reader(clients: KafkaClients) -> AsyncIterator[Reader]:
    """One whose fetches wait for ever; it is polled all the time."""
    reader = Reader(
        replace(clients.config, fetch_wait_ms=LONG_POLL_MS, consumer={"request_timeout_ms": 2 * LONG_POLL_MS})
    )
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


async def next_values(made: AIOKafkaConsumer, count: int) -> list[str]:
    values: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(values) < count:
            for records in (await made.getmany(timeout_ms=100)).values():
                values += map(text, records)
    return values


async def test_assign_and_unassign_leave_the_others_alone(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    one, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    await write(clients, topic, "abc")
    await write(clients, topic, "xyz", 1)
    async with consumer(clients) as made:
        await private.learn(private.consumer_client(made), [topic])
        private.assign(made, {one: 1})
        assert await next_values(made, 2) == ["b", "c"]
        private.assign(made, {other: 2})
        assert await next_values(made, 1) == ["z"]
        assert made.assignment() == {one, other}
        private.unassign(made, [one])
        await write(clients, topic, "d")
        await write(clients, topic, "w", 1)
        assert await next_values(made, 1) == ["w"]
        private.assign(made, {one: 3})
        assert await next_values(made, 1) == ["d"]


async def test_a_removed_partition_may_be_in_a_fetch_that_waits(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    gone, stays = TopicPartition(topic, 0), TopicPartition(topic, 1)
    async with consumer(clients, wait_ms=500) as made:
        await private.learn(private.consumer_client(made), [topic])
        private.assign(made, {gone: 0, stays: 0})
        for turn in range(5):
            assert await made.getmany(timeout_ms=1) == {}
            private.unassign(made, [gone])
            await write(clients, topic, [f"gone-{turn}"])
            await write(clients, topic, [f"stays-{turn}"], 1)
            assert await next_values(made, 1) == [f"stays-{turn}"]
            private.assign(made, {gone: turn + 1})


async def test_others_do_not_wait_for_a_fetch_that_waits(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    partition, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    async with slow_reader(clients) as reader, asyncio.timeout(PATIENCE):
        reader.add({partition: 0})
        assert await reader.poll() == {}
        assert await reader.end_offsets([partition, other]) == {partition: 0, other: 0}
        assert await reader.beginning_offsets([other]) == {other: 0}


async def test_what_is_added_or_resumed_does_not_wait_for_a_fetch_that_waits(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    idle, paused, added = (TopicPartition(topic, number) for number in range(3))
    await write(clients, topic, ["added"], 2)
    async with slow_reader(clients) as reader:
        reader.add({idle: 0})
        reader.add({paused: 0})
        reader.pause(paused)
        await write(clients, topic, ["paused"], 1)
        assert await reader.poll() == {}
        reader.add({added: 0})
        assert await read_values(reader, 1) == ["added"]
        assert await reader.poll() == {}
        reader.resume(paused)
        assert await read_values(reader, 1) == ["paused"]


async def test_fetches_that_wait_are_left_alone_when_they_are_short(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    async with consumer(clients, wait_ms=5) as made:
        await private.learn(private.consumer_client(made), [topic])
        private.assign(made, {TopicPartition(topic, 0): 0})
        await made.getmany(timeout_ms=50)
        before = dict(made._client._conns)
        private.end_polls(made)
        assert made._client._conns == before


async def test_the_wait_of_fetches_is_changed_while_it_runs(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    async with consumer(clients) as made:
        asked = _requests_of(made)
        await private.learn(private.consumer_client(made), [topic])
        private.set_fetch_wait(made, 123)
        private.assign(made, {TopicPartition(topic, 0): 0})
        async with asyncio.timeout(PATIENCE):
            while 123 not in {getattr(request, "_max_wait_ms", None) for request in asked}:
                await made.getmany(timeout_ms=50)


async def test_only_what_is_new_is_asked_about(clients: KafkaClients, topic: str) -> None:
    topics = [f"{topic}.{number}" for number in range(5)]
    await clients.topics.ensure(topics)
    for each in topics:
        await write(clients, each, "x")  # Leaders of new topics may refuse their first fetches.
    async with consumer(clients) as made:
        client = private.consumer_client(made)
        asked = _requests_of(made)
        for each in topics:
            await private.learn(client, [each])
            private.assign(made, {TopicPartition(each, 0): 0})
            await made.getmany(timeout_ms=20)
        assert client.cluster.topics() >= set(topics)
        assert client.cluster.leader_for_partition(TopicPartition(topics[0], 2)) >= 0
        assert not [request for request in asked if isinstance(request, MetadataRequest)]
        await private.learn(client, [f"{topic}.missing"])
        assert client.cluster.partitions_for_topic(f"{topic}.missing") is None
    assert await clients.topics.partitions([f"{topic}.missing"]) == {}


def _requests_of(made: AIOKafkaConsumer) -> list[Any]:
    """What its own tasks ask from now on."""
    asked: list[Any] = []
    client: Any = private.consumer_client(made)
    send, metadata = client.send, client._metadata_update

    async def seen(node: int, request: Any, **more: Any) -> Any:
        asked.append(request)
        return await send(node, request, **more)

    async def updated(cluster: Any, topics: Any) -> Any:
        asked.append(MetadataRequest(list(topics)))
        return await metadata(cluster, topics)

    client.send, client._metadata_update = seen, updated
    return asked


async def test_requests_to_a_leader_or_a_broker_are_answered(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    admin = AIOKafkaAdminClient(bootstrap_servers=clients.config.bootstrap_servers)
    await admin.start()
    async with consumer(clients) as made:
        await private.learn(private.consumer_client(made), [topic])
        node = private.consumer_client(made).cluster.leader_for_partition(TopicPartition(topic, 0))
        answers = [
            await private.ask_leader(made, node, MetadataRequest([topic])),
            await private.ask_broker(admin, node, MetadataRequest([topic])),
        ]
    assert await private.counts_of_partitions(admin, [topic, f"{topic}.missing"]) == {topic: 3}
    await admin.close()
    assert [answer.topics[0][1] for answer in answers] == [topic, topic]


async def test_connections_are_closed_without_a_stop(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    async with consumer(clients) as made:
        await private.learn(private.consumer_client(made), [topic])
        await private.close_connections(made)
        assert not any(connection.connected() for connection in made._client._conns.values())


async def test_batches_are_made_as_the_producer_is_set(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    options: dict[str, Any] = {"max_request_size": 12_345, "compression_type": "gzip"}
    producer = AIOKafkaProducer(bootstrap_servers=clients.config.bootstrap_servers, **options)
    await producer.start()
    try:
        assert private.longest_request(producer) == 12_345
        batch = BatchBuilder(10_000, private.compression(producer))
        batch.append(timestamp=None, key=None, value=b"x" * 5000, headers=[])
        await private.learn(producer.client, [topic])
        await (await producer.send_batch(batch, topic, partition=0))
        assert batch.size() < 500
    finally:
        await producer.stop()
    clients.reader.add({TopicPartition(topic, 0): 0})
    assert await read_values(clients.reader, 1) == ["x" * 5000]


async def test_what_no_broker_takes_is_given_up(topic: str) -> None:
    async with broker(kind_for_tests()) as own:
        clients = KafkaClients(own.config)
        await clients.start(lambda _: None)
        await clients.topics.ensure([topic])
        producer = AIOKafkaProducer(bootstrap_servers=own.config.bootstrap_servers)
        await producer.start()
        await producer.send_and_wait(topic, b"x")
        await asyncio.to_thread(own.kill)
        assert not private.has_queued(producer, TopicPartition(topic, 0))
        sent = await producer.send(topic, b"y", partition=0)
        assert private.has_queued(producer, TopicPartition(topic, 0))
        await private.give_up_sending(producer, KafkaTimeoutError("given up"))
        with pytest.raises(KafkaTimeoutError, match="given up"):
            await sent
        await producer.stop()
        await clients.stop()


async def test_an_idle_reader_asks_no_more_often_than_its_fetches_wait(clients: KafkaClients, topic: str) -> None:
    """Whatever else is asked meanwhile, and even after partitions were added."""
    await clients.topics.ensure([topic])
    await write(clients, topic, "x")
    async with slow_reader(clients) as reader:
        made = reader._consumer
        assert made is not None
        asked = _requests_of(made)
        reader.add({TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 0})
        for _ in range(3):
            assert await reader.poll() == {}
            await reader.end_offsets([TopicPartition(topic, 0)])
        before = len([request for request in asked if isinstance(request, FetchRequest)])
        for _ in range(2):
            assert await reader.poll() == {}
        fetches = [request for request in asked if isinstance(request, FetchRequest)]
        assert len(fetches) == before
        (connection,) = [each for (_, group), each in made._client._conns.items() if group == private._POLLS]
        assert len(connection._requests) == 1
