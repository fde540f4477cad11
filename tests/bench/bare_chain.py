"""Calls through a chain of bare loops: what any implementation over this broker has to pay."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.kafka.config import KafkaConfig
from shared.kafka.topics import TopicAdmin
from tests.bench.bare_process import ModelCall, bare_loop
from tests.bench.load import Sample

_KEY_BYTES = 16


@contextlib.asynccontextmanager
async def bare_chain(config: KafkaConfig, name: str, calls: Sequence[ModelCall | None]) -> AsyncIterator["Caller"]:
    """One loop for each entry of `calls`, joined by topics; records go in at the first and come out of the last."""
    topics = [f"bench.{name}.{position}" for position in range(len(calls) + 1)]
    admin = TopicAdmin(config)
    await admin.start()
    await admin.ensure(topics)
    await admin.stop()
    async with contextlib.AsyncExitStack() as stack:
        for (source, sink), call in zip(itertools.pairwise(topics), calls, strict=True):
            await stack.enter_async_context(bare_loop(config, {source: sink}, call))
        caller = Caller(config, topics[0], topics[-1])
        stack.push_async_callback(caller.stop)
        await caller.start()
        yield caller


class Caller:
    """Sends records in and waits for each at the other end."""

    def __init__(self, config: KafkaConfig, first: str, last: str) -> None:
        self._first, self._last = first, last
        bootstrap = config.bootstrap_servers
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, fetch_max_wait_ms=config.fetch_wait_ms, group_id=None
        )
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._count = 0
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._producer.start()
        await self._consumer.start()
        partition = TopicPartition(self._last, 0)
        self._consumer.assign([partition])
        await self._consumer.seek_to_end(partition)
        await self._consumer.position(partition)
        self._reading = asyncio.create_task(self._read())

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        await self._consumer.stop()
        await self._producer.stop()

    async def load(self, value: bytes, callers: int, seconds: float) -> Sample:
        """Call with this many callers at a time for this long."""
        latencies: list[float] = []
        end = time.perf_counter() + seconds

        async def call_on() -> None:
            while time.perf_counter() < end:
                began = time.perf_counter()
                await self._call(value)
                latencies.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(call_on() for _ in range(callers)))
        took = time.perf_counter() - began
        latencies.sort()
        p50, p99 = (latencies[int(len(latencies) * share)] * 1e6 for share in (0.5, 0.99))
        return Sample(p50, p99, len(latencies) / took)

    async def _call(self, value: bytes) -> None:
        self._count += 1
        key = self._count.to_bytes(_KEY_BYTES, "big")
        answered = self._waiting[key] = asyncio.get_running_loop().create_future()
        await self._producer.send(self._first, value, key, 0)
        await asyncio.wait_for(answered, 30)

    async def _read(self) -> None:
        async for record in self._consumer:
            answered = self._waiting.pop(record.key or b"", None)
            if answered is not None and not answered.done():
                answered.set_result(None)
