"""Reading by hand-assigned partitions, on a real broker."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.errors import Unavailable
from shared.kafka.clients import KafkaClients
from tests.kafka.reading import read, read_values, text, write
from tests.peers.broker import broker, kind_for_tests


async def test_each_partition_is_read_in_order_from_where_it_was_added(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    for number in range(3):
        await write(clients, topic, [f"{number}-{i}" for i in range(20)], number)
    clients.reader.add({TopicPartition(topic, 0): 0, TopicPartition(topic, 2): 15})
    taken = await read(clients.reader, 25)
    assert [text(each) for each in taken[TopicPartition(topic, 0)]] == [f"0-{i}" for i in range(20)]
    assert [text(each) for each in taken[TopicPartition(topic, 2)]] == [f"2-{i}" for i in range(15, 20)]
    assert clients.reader.position(TopicPartition(topic, 0)) == 20
    assert clients.reader.partitions == taken.keys()


async def test_partitions_come_and_go_while_others_are_read_without_loss(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    steady, passing = TopicPartition(topic, 0), TopicPartition(topic, 1)
    clients.reader.add({steady: 0})
    count = 200

    async def send() -> None:
        for i in range(count):
            await write(clients, topic, [str(i)])

    async def come_and_go() -> None:
        while not sending.done():
            clients.reader.add({passing: 0})
            await asyncio.sleep(0)
            clients.reader.remove([passing])
            await asyncio.sleep(0.002)

    sending = asyncio.create_task(send())
    changing = asyncio.create_task(come_and_go())
    assert await read_values(clients.reader, count) == [str(i) for i in range(count)]
    await asyncio.gather(sending, changing)


async def test_going_back_reads_again(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    await write(clients, topic, "abcde")
    partition = TopicPartition(topic, 0)
    clients.reader.add({partition: 0})
    assert await read_values(clients.reader, 5) == list("abcde")
    clients.reader.add({partition: 3})
    assert await read_values(clients.reader, 2) == list("de")


async def test_a_paused_partition_stays_where_it_is(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    paused, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    clients.reader.add({paused: 0})
    clients.reader.pause(paused)
    await write(clients, topic, ["later"])
    await write(clients, topic, ["now"], 1)
    # Another partition that comes does not end the pause.
    clients.reader.add({other: 0})
    assert await read_values(clients.reader, 1) == ["now"]
    assert clients.reader.position(paused) == 0
    clients.reader.resume(paused)
    assert await read_values(clients.reader, 1) == ["later"]


async def test_a_pause_holds_back_what_was_fetched_before(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    await write(clients, topic, "abcdef")
    await write(clients, topic, ["other"], 1)
    partition, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    clients.reader.add({partition: 0})
    first = ""
    async with asyncio.timeout(30):
        while not first:
            first = "".join(map(text, (await clients.reader.poll(max_records=2)).get(partition, [])))
    clients.reader.pause(partition)
    assert await clients.reader.poll() == {}
    clients.reader.add({other: 0})
    assert await read_values(clients.reader, 1) == ["other"]
    clients.reader.resume(partition)
    rest = "abcdef".removeprefix(first)
    assert await read_values(clients.reader, len(rest)) == list(rest)


async def test_at_most_so_many_records_at_once(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    await write(clients, topic, map(str, range(10)))
    partition = TopicPartition(topic, 0)
    clients.reader.add({partition: 0})
    read_values: list[str] = []
    async with asyncio.timeout(30):
        while len(read_values) < 10:
            batch = (await clients.reader.poll(max_records=3)).get(partition, [])
            assert len(batch) <= 3
            read_values += map(text, batch)
    assert read_values == [str(i) for i in range(10)]


async def test_nothing_to_read_gives_nothing_and_ends_with_the_first_partition(
    clients: KafkaClients, topic: str
) -> None:
    assert await clients.reader.poll() == {}
    await clients.topics.ensure([topic])
    await write(clients, topic, ["x"])
    polling = asyncio.create_task(clients.reader.poll())
    await asyncio.sleep(0)
    clients.reader.add({TopicPartition(topic, 0): 0})
    await polling
    clients.reader.add({TopicPartition(topic, 0): 0})
    assert await read_values(clients.reader, 1) == ["x"]
    clients.reader.remove([TopicPartition(topic, 0)])
    assert await clients.reader.poll() == {}


async def test_a_position_from_an_earlier_topic_of_that_name_starts_anew(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    await write(clients, topic, ["new"])
    clients.reader.add({TopicPartition(topic, 0): 50})
    assert await read_values(clients.reader, 1) == ["new"]


@pytest.mark.skipif(kind_for_tests() == "tansu", reason="Tansu never removes records")
async def test_removed_records_are_passed_over(clients: KafkaClients, topic: str) -> None:
    await clients.topics.ensure([topic])
    partition = TopicPartition(topic, 0)
    await write(clients, topic, "abcde")
    await _remove_before(clients, partition, 3)
    clients.reader.add({partition: 1})
    assert await read_values(clients.reader, 2) == list("de")


async def _remove_before(clients: KafkaClients, partition: TopicPartition, offset: int) -> None:
    """What the end of a retention time does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=clients.config.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records({partition: RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


async def test_a_broker_that_is_killed_and_comes_back(topic: str) -> None:
    """One that keeps its records goes on as if nothing had been; an empty one is noticed."""
    kind = kind_for_tests()
    async with broker(kind) as own:
        # However slowly it comes back, what was sent meanwhile has not timed out.
        clients = KafkaClients(replace(own.config, partitions=2, producer={"request_timeout_ms": 300_000}))
        await clients.start(lambda _: None)
        await clients.topics.ensure([topic])
        clients.reader.add({TopicPartition(topic, 0): 0})
        await write(clients, topic, "abc")
        assert await read_values(clients.reader, 3) == list("abc")
        await asyncio.to_thread(own.kill)
        unsent = await clients.writer.send(topic, b"d", None, 0, [])
        await asyncio.to_thread(own.start)
        if kind == "apache":
            assert await read_values(clients.reader, 1) == ["d"]
            assert (await unsent).offset == 3
            await clients.stop()
        else:
            with pytest.raises(Unavailable, match=f"the log of {topic} is gone"):
                await read(clients.reader, 100)
            await clients.stop()
            await asyncio.wait([unsent])
            unsent.exception()
