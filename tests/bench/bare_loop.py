"""A consume-produce loop with none of our logic, as a process of its own: what pipelines are measured against.

    python -m tests.bench.bare_loop BOOTSTRAP FETCH_WAIT_MS INPUT:OUTPUT,... [GRPC_ADDRESS MODEL]

With an address, every record is one inference call on the way. A line on stdout says that it reads.
"""

import asyncio
import sys
from typing import Any

import grpc.aio
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

METHOD = "/inference.GRPCInferenceService/ModelInfer"
_MAX_RECORDS = 1000


async def run(bootstrap: str, fetch_wait_ms: int, routes: dict[str, str], address: str = "", model: str = "") -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=fetch_wait_ms, group_id=None)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await consumer.start()
    await producer.start()
    partitions = [TopicPartition(source, 0) for source in routes]
    consumer.assign(partitions)
    await consumer.seek_to_end(*partitions)
    call: Any = grpc.aio.insecure_channel(address).unary_unary(METHOD) if address else None
    metadata = (("seldon-model", model),)
    print("reading", flush=True)
    while True:
        acks = []
        batches = await consumer.getmany(timeout_ms=1000, max_records=_MAX_RECORDS)
        for partition, batch in batches.items():
            values = [record.value for record in batch]
            if call is not None:
                values = await asyncio.gather(*(call(value, metadata=metadata) for value in values))
            acks += [
                await producer.send(routes[partition.topic], value, record.key, 0, headers=list(record.headers))
                for record, value in zip(batch, values, strict=True)
            ]
        await asyncio.gather(*acks)


if __name__ == "__main__":
    servers, wait_ms, pairs, *call_to = sys.argv[1:]
    uvloop.run(run(servers, int(wait_ms), dict(pair.split(":", 1) for pair in pairs.split(",")), *call_to))
