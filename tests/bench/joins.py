"""P4: joins through the dataflow engine's process, beside a bare loop with as many records over the same broker."""

import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiokafka import TopicPartition
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest
from rich.progress import Progress

from shared.kafka import headers
from shared.kafka.config import KafkaConfig
from shared.kafka.names import GroupNames, TopicNames, record_key
from shared.kafka.reader import Reader
from shared.kafka.topics import TopicAdmin
from shared.kafka.writer import Writer
from tests.bench.bare_process import bare_loop
from tests.bench.table import Row
from tests.dataflow.engine.instructions import join
from tests.dataflow.engine.process import Scheduler, start_engine

REQUESTS = 10_000
_STAMP = [(headers.PIPELINE, b"p"), (headers.PIPELINE_VERSION, b"1"), (headers.REQUEST_ID, b"x" * 20)]


@dataclass(frozen=True, slots=True)
class Run:
    """Requests a second, and microseconds of processor time for each. A request is three records in, three out."""

    rate: float
    processor: float


@dataclass(slots=True)
class Joins:
    """Runs by round."""

    bare: list[Run] = field(default_factory=list)
    engine: list[Run] = field(default_factory=list)


async def measure(plain: KafkaConfig, rounds: int, bar: Progress) -> Joins:
    """The engine under a scheduler of its own, on topics of its own."""
    config = replace(plain, topics=TopicNames(namespace="bench"), groups=GroupNames(namespace="bench"))
    names, found = config.topics, Joins()
    sources = [names.pipeline_inputs("p"), names.model_outputs("a"), names.model_outputs("b")]
    sinks = [names.pipeline_outputs("p"), names.model_inputs("a"), names.model_inputs("b")]
    routes = {f"bench.join-in-{index}": f"bench.join-out-{index}" for index in range(3)}
    task = bar.add_task("joins", total=rounds)
    async with _Records(config) as records, Scheduler() as scheduler:
        await records.topics.ensure([*sources, *sinks, *routes, *routes.values()])
        scheduler.want(join(names, "p", "a", "b").create())
        with tempfile.TemporaryDirectory() as folder:
            engine = await start_engine(config, scheduler, Path(folder))
            try:
                async with bare_loop(config, routes) as loop:
                    assert (await scheduler.reported(1)).success
                    starts = await records.reader.end_offsets(
                        TopicPartition(topic, 0) for topic in (*sinks, *routes.values())
                    )
                    records.reader.add(starts)
                    for _ in range(rounds):
                        found.bare.append(await records.through(loop, list(routes), list(routes.values())))
                        found.engine.append(await records.through(engine, sources, sinks))
                        bar.advance(task)
            finally:
                engine.terminate()
                await engine.wait()
    return found


class _Records:
    """Writes requests and counts what comes of them."""

    def __init__(self, config: KafkaConfig) -> None:
        self.reader, self.topics, self._writer = Reader(config), TopicAdmin(config), Writer(config)
        self._round = 0

    async def __aenter__(self) -> "_Records":
        for part in (self.topics, self.reader, self._writer):
            await part.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in (self.reader, self._writer, self.topics):
            await part.stop()

    async def through(self, process: asyncio.subprocess.Process, sources: Sequence[str], sinks: Sequence[str]) -> Run:
        """From the process's waking up with everything there to the last record."""
        self._round += 1
        process.send_signal(signal.SIGSTOP)
        for index, topic in enumerate(sources):
            value = _message("OUTPUT" if index else "INPUT")
            sent = [
                await self._writer.send(topic, value, record_key(0, "p", f"{self._round}-{number}"), 0, _STAMP)
                for number in range(REQUESTS)
            ]
            await asyncio.gather(*sent)
        began, used = time.perf_counter(), processor_seconds(process.pid)
        process.send_signal(signal.SIGCONT)
        missing = REQUESTS * len(sinks)
        while missing > 0:
            for partition, records in (await self.reader.poll()).items():
                missing -= len(records) if partition.topic in sinks else 0
        rate = REQUESTS / (time.perf_counter() - began)
        return Run(rate, (processor_seconds(process.pid) - used) / REQUESTS * 1e6)


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _message(prefix: str) -> bytes:
    request = ModelInferRequest(id="some-id")
    for index in (0, 1):
        tensor = request.inputs.add(name=f"{prefix}{index}", datatype="INT32", shape=[1, 16])
        tensor.contents.int_contents.extend(range(16))
    return request.SerializeToString()


def join_rows(found: Joins, broker: str) -> list[Row]:
    ratio = statistics.median(e.rate / b.rate for e, b in zip(found.engine, found.bare, strict=True))
    engine, bare = (
        Run(statistics.median(r.rate for r in runs), statistics.median(r.processor for r in runs))
        for runs in (found.engine, found.bare)
    )
    return [
        Row(
            "P4",
            f"joins a second through the dataflow engine on {broker} / bare loop with as many records",
            f"{ratio:.2f}",
            "≥ 0.5",
            ratio >= 0.5,
            f"{engine.rate:,.0f} against {bare.rate:,.0f} /s; processor {engine.processor:.0f} against "
            f"{bare.processor:.0f} µs each",
        )
    ]
