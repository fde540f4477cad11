"""What the engine is compared with: consume, produce, nothing else. `bare_loop.py SERVERS WAIT_MS FROM:TO ...`"""

import asyncio
import sys

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition


async def main(servers: str, wait_ms: int, routes: dict[str, str]) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, group_id=None, enable_auto_commit=False, fetch_max_wait_ms=wait_ms
    )
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    await consumer.start()
    await producer.start()
    partitions = [TopicPartition(topic, 0) for topic in routes]
    consumer.assign(partitions)
    await consumer.seek_to_end(*partitions)
    print("ready", flush=True)
    while True:
        batches = await consumer.getmany(timeout_ms=1000, max_records=1000)
        sent = [
            await producer.send(routes[partition.topic], record.value, record.key, 0, headers=list(record.headers))
            for partition, records in batches.items()
            for record in records
        ]
        await asyncio.gather(*sent)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), dict(route.split(":") for route in sys.argv[3:])))
