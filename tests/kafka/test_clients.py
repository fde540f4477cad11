"""Topics, writing, committed offsets and starting, on a real broker."""

import asyncio
import socket
from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from shared.errors import Unavailable
from shared.kafka.clients import KafkaClients
from shared.kafka.config import KafkaConfig
from tests.kafka.reading import read, read_values, write
from tests.peers.broker import MESSAGE_MAX_BYTES, broker, kind_for_tests


async def test_topics_are_made_once_with_the_configured_partitions(clients: KafkaClients, topic: str) -> None:
    assert await clients.topics.partitions([topic]) == {}
    assert await clients.topics.ensure([topic, f"{topic}.b", topic]) == {topic: 3, f"{topic}.b": 3}
    await write(clients, topic, ["kept"])
    assert await clients.topics.ensure([topic]) == {topic: 3}
    partition = TopicPartition(topic, 0)
    assert await clients.reader.end_offsets([partition]) == {partition: 1}


async def test_two_make_the_same_topic_at_once(clients: KafkaClients, topic: str) -> None:
    both = tuple(await asyncio.gather(clients.topics.ensure([topic]), clients.topics.ensure([topic])))
    assert both == ({topic: 3}, {topic: 3})


async def test_a_deleted_topic_is_gone_with_its_records_and_offsets(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    await write(clients, topic, ["old"])
    partition = TopicPartition(topic, 0)
    await clients.offsets.commit(f"group-{topic}", {partition: 1})
    await clients.topics.delete([topic, f"{topic}.never"])
    assert await clients.topics.partitions([topic]) == {}
    await clients.topics.ensure([topic])
    assert await clients.reader.end_offsets([partition]) == {partition: 0}
    assert await clients.offsets.fetch(f"group-{topic}", [partition]) == {}


async def test_a_record_keeps_key_headers_and_value(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    headers = (("pipeline", b"p"), ("x-a", b"1"), ("x-a", b"2"))
    place = await (await clients.writer.send(topic, b"value", b"2.r.1", 2, headers))
    assert (place.partition, place.offset) == (2, 0)
    await (await clients.writer.send(topic, b"", None, 2, ()))
    partition = TopicPartition(topic, 2)
    clients.reader.add({partition: 0})
    first, second = (await read(clients.reader, 2))[partition]
    assert (first.key, first.value, tuple(first.headers)) == (b"2.r.1", b"value", headers)
    assert (second.key, tuple(second.headers)) == (None, ())


async def test_long_records_pass_and_longer_ones_are_refused(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    clients.reader.add({TopicPartition(topic, 0): 0})
    long = "x" * (MESSAGE_MAX_BYTES * 3 // 4)
    await write(clients, topic, ["short", long, "short"])
    assert await read_values(clients.reader, 3) == ["short", long, "short"]
    with pytest.raises(MessageSizeTooLargeError):
        await write(clients, topic, ["x" * (MESSAGE_MAX_BYTES + 1)])


async def test_offsets_of_groups_without_members(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    one, other, unused = (TopicPartition(topic, number) for number in range(3))
    await clients.offsets.commit(f"a-{topic}", {one: 7, other: 0})
    await clients.offsets.commit(f"b-{topic}", {one: 3})
    await clients.offsets.commit(f"a-{topic}", {one: 5})
    await clients.offsets.commit(f"a-{topic}", {})
    assert await clients.offsets.fetch(f"a-{topic}", [one, other, unused]) == {one: 5, other: 0}
    assert await clients.offsets.fetch(f"b-{topic}", [one, other]) == {one: 3}
    assert await clients.offsets.fetch(f"a-{topic}", []) == {}
    assert await clients.offsets.fetch(f"never-{topic}", [one]) == {}


async def test_start_waits_for_a_broker_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    clients = KafkaClients(KafkaConfig(f"127.0.0.1:{port}"))
    told: list[str] = []
    twice = asyncio.Event()

    def waiting(reason: str) -> None:
        told.append(reason)
        if len(told) == 2:
            twice.set()

    starting = asyncio.create_task(clients.start(waiting))
    await asyncio.wait_for(twice.wait(), 30)
    starting.cancel()
    await asyncio.wait([starting])
    assert told[0] == f"kafka at 127.0.0.1:{port}: no broker answers; next attempt in 0.2 s"


async def test_start_and_stop_again(clients: KafkaClients, topic: str) -> None:
    told: list[str] = []
    again = KafkaClients(replace(clients.config))
    await again.start(told.append)
    assert told == [""]
    await again.stop()
    await again.stop()
    await again.start(told.append)
    await again.topics.ensure([topic])
    await write(again, topic, ["x"])
    await again.stop()


async def test_what_was_sent_is_flushed_at_the_end(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    sender = KafkaClients(clients.config)
    await sender.start(lambda _: None)
    acknowledged = [await sender.writer.send(topic, b"x", None, 0, []) for _ in range(100)]
    await sender.stop()
    assert all(each.done() for each in acknowledged)
    assert await clients.reader.end_offsets([partition := TopicPartition(topic, 0)]) == {partition: 100}


async def test_without_a_broker_calls_fail_and_stopping_does_not_hang(topic: str) -> None:
    async with broker(kind_for_tests()) as own:
        clients = KafkaClients(own.config)
        await clients.start(lambda _: None)
        await clients.topics.ensure([topic])
        await write(clients, topic, ["x"])
        await asyncio.to_thread(own.kill)
        with pytest.raises(Unavailable, match="Kafka does not tell its topics"):
            await clients.topics.ensure([topic])
        unsent = await clients.writer.send(topic, b"x", None, 0, [])
        await asyncio.wait_for(clients.stop(), 20)
        with pytest.raises(KafkaTimeoutError, match="no broker took the record"):
            await unsent


async def test_clients_without_work_notice_a_lost_broker() -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    async with broker(kind_for_tests()) as own:
        clients = KafkaClients(own.config)
        await clients.start(lambda _: None, told.put_nowait)
        await asyncio.to_thread(own.kill)
        assert "no broker answers" in await asyncio.wait_for(told.get(), 60)
        await asyncio.to_thread(own.start)
        assert await asyncio.wait_for(told.get(), 60) == ""
        await asyncio.wait_for(clients.stop(), 20)
    assert told.empty()
