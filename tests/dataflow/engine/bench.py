"""Join throughput and latency of the engine's process beside a bare loop, on one broker in interleaved rounds.

`python -m tests.dataflow.engine.bench [REQUESTS] [ROUNDS]`. Three records go in and three come out for each request.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from aiokafka import TopicPartition
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest

from shared.kafka import headers
from shared.kafka.config import KafkaConfig
from shared.kafka.names import GroupNames, TopicNames, record_key
from shared.kafka.reader import Reader
from shared.kafka.topics import TopicAdmin
from shared.kafka.writer import Writer
from tests.dataflow.engine.instructions import chain, join
from tests.dataflow.engine.process import Scheduler, start_engine
from tests.peers.broker import kind_for_tests, running


class Bench:
    def __init__(self, config: KafkaConfig) -> None:
        self.config = config
        self.names = config.topics
        self.reader, self.writer, self.topics = Reader(config), Writer(config), TopicAdmin(config)
        self.stamp = [(headers.PIPELINE, b"p"), (headers.PIPELINE_VERSION, b"1"), (headers.REQUEST_ID, b"x" * 20)]
        self.round = 0

    async def start(self) -> None:
        for part in (self.topics, self.reader, self.writer):
            await part.start()

    async def stop(self) -> None:
        for part in (self.reader, self.writer, self.topics):
            await part.stop()

    async def load(self, topic: str, count: int, value: bytes) -> None:
        sent = [
            await self.writer.send(topic, value, record_key(0, "p", f"{self.round}-{number}"), 0, self.stamp)
            for number in range(count)
        ]
        await asyncio.gather(*sent)

    async def throughput(
        self, process: asyncio.subprocess.Process, sources: list[str], sinks: list[str], count: int
    ) -> tuple[float, float]:
        """Requests a second, from the process's waking up with everything there to the last record.

        And the processor time of the process, microseconds for each request.
        """
        self.round += 1
        process.send_signal(signal.SIGSTOP)
        for index, topic in enumerate(sources):
            await self.load(topic, count, message(is_answer=index > 0))
        began, used = time.perf_counter(), _processor_seconds(process.pid)
        process.send_signal(signal.SIGCONT)
        await self.arrived(sinks, count * len(sinks))
        rate = count / (time.perf_counter() - began)
        return rate, (_processor_seconds(process.pid) - used) / count * 1e6

    async def arrived(self, sinks: list[str], count: int) -> None:
        while count > 0:
            for partition, records in (await self.reader.poll()).items():
                count -= len(records) if partition.topic in sinks else 0

    async def round_trips(self, source: str, sink: str, count: int) -> list[float]:
        """Seconds from sending a record to reading what comes of it, one at a time."""
        took = []
        for _ in range(count):
            self.round += 1
            began = time.perf_counter()
            await self.load(source, 1, message(is_answer=False))
            await self.arrived([sink], 1)
            took.append(time.perf_counter() - began)
        return took


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def message(*, is_answer: bool) -> bytes:
    request = ModelInferRequest(id="some-id")
    for name in ("INPUT0", "INPUT1") if not is_answer else ("OUTPUT0", "OUTPUT1"):
        request.inputs.add(name=name, datatype="INT32", shape=[1, 16]).contents.int_contents.extend(range(16))
    return request.SerializeToString()


async def bare(config: KafkaConfig, routes: dict[str, str]) -> asyncio.subprocess.Process:
    script = Path(__file__).with_name("bare_loop.py")
    pairs = [f"{source}:{sink}" for source, sink in routes.items()]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        config.bootstrap_servers,
        str(config.fetch_wait_ms),
        *pairs,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def run(plain_config: KafkaConfig, count: int, rounds: int) -> None:
    config = replace(plain_config, topics=TopicNames(namespace="bench"), groups=GroupNames(namespace="bench"))
    bench = Bench(config)
    await bench.start()
    names = bench.names
    sources = [names.pipeline_inputs("p"), names.model_outputs("a"), names.model_outputs("b")]
    sinks = [names.pipeline_outputs("p"), names.model_inputs("a"), names.model_inputs("b")]
    plain = {f"plain-in{index}": f"plain-out{index}" for index in range(3)}
    one = {"one-in": "one-out"}
    await bench.topics.ensure([*sources, *sinks, *plain, *plain.values(), *one, *one.values()])
    hop = chain(names, "hop", "c")
    async with Scheduler() as scheduler:
        scheduler.want(join(names, "p", "a", "b").create())
        scheduler.want(hop.create())
        with tempfile.TemporaryDirectory() as folder:
            engine = await start_engine(config, scheduler, Path(folder))
            loops = [await bare(config, plain), await bare(config, one)]
            assert (await scheduler.reported(2)).success
            watched = [*sinks, *plain.values(), "one-out", names.model_inputs("c")]
            bench.reader.add(dict.fromkeys([TopicPartition(topic, 0) for topic in watched], 0))
            ratios = []
            for _ in range(rounds):
                bare_rate, bare_time = await bench.throughput(loops[0], list(plain), list(plain.values()), count)
                rate, used = await bench.throughput(engine, sources, sinks, count)
                ratios.append(rate / bare_rate)
                print(
                    f"join: bare {bare_rate:6.0f}/s, {bare_time:4.0f} us of processor each; "
                    f"engine {rate:6.0f}/s, {used:4.0f} us; ratio {ratios[-1]:.2f}",
                    flush=True,
                )
            hops = []
            for _ in range(rounds):
                base = statistics.median(await bench.round_trips("one-in", "one-out", 100))
                bench.stamp[0] = (headers.PIPELINE, b"hop")
                through = statistics.median(await bench.round_trips(hop.source.topicName, names.model_inputs("c"), 100))
                bench.stamp[0] = (headers.PIPELINE, b"p")
                hops.append((through - base) * 1000)
                print(f"hop: bare {base * 1000:.2f} ms  engine {through * 1000:.2f} ms", flush=True)
            print(f"median: join ratio {statistics.median(ratios):.2f}, added per hop {statistics.median(hops):.2f} ms")
            for process in (engine, *loops):
                process.terminate()
                await process.wait()
    await bench.stop()


if __name__ == "__main__":
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    turns = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with running(kind_for_tests()) as broker:
        asyncio.run(run(broker.config, requests, turns))
