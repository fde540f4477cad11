"""Stands for everything between a pipeline's input topic and its output topic: reads, decides, writes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from aiokafka import TopicPartition
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from shared.kafka import headers as kafka
from shared.kafka.clients import KafkaClients
from shared.kafka.config import KafkaConfig
from shared.kafka.reader import Record


@dataclass(frozen=True)
class Out:
    """One record to write; by default with the key of the record that it answers, to the pipeline's outputs."""

    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    key: bytes | str | None = "same"
    topic: str | None = None


Behaviour: TypeAlias = Callable[[Record], Iterable[Out]]


def echo(record: Record) -> list[Out]:
    """The inputs as outputs, as a chain of identity models would answer."""
    return [Out(answer_of(record.value or b""), list(record.headers))]


def answer_of(request: bytes) -> bytes:
    asked = ModelInferRequest.FromString(request)
    answer = ModelInferResponse(id=asked.id)
    for tensor in asked.inputs:
        answer.outputs.add().ParseFromString(tensor.SerializeToString())
    answer.raw_output_contents.extend(asked.raw_input_contents)
    return answer.SerializeToString()


def failing(model: str, text: str, code: str | None = None) -> Behaviour:
    """An error record."""
    extra = [(kafka.ERROR, model.encode())] + ([(kafka.ERROR_CODE, code.encode())] if code else [])
    return lambda record: [Out(text.encode(), [*record.headers, *extra])]


def silent(record: Record) -> list[Out]:
    return []


class Engine:
    """`behaviour` may be replaced at any time; `seen` has every record that was read."""

    def __init__(self, config: KafkaConfig, inputs: str, outputs: str, behaviour: Behaviour = echo) -> None:
        self.behaviour = behaviour
        self.seen: asyncio.Queue[Record] = asyncio.Queue()
        self._clients = KafkaClients(config)
        self._inputs, self._outputs = inputs, outputs

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Engine"]:
        await self._clients.start(lambda missing: None)
        counts = await self._clients.topics.ensure([self._inputs, self._outputs])
        ours = [TopicPartition(self._inputs, number) for number in range(counts[self._inputs])]
        self._clients.reader.add(await self._clients.reader.end_offsets(ours))
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait((task,))
            await self._clients.stop()

    async def write(self, out: Out, partition: int = 0) -> None:
        """A record of nobody's asking."""
        key = None if out.key == "same" or isinstance(out.key, str) else out.key
        sent = await self._clients.writer.send(out.topic or self._outputs, out.value, key, partition, out.headers)
        await sent

    async def _run(self) -> None:
        while True:
            batches = await self._clients.reader.poll()
            for partition, records in batches.items():
                for record in records:
                    self.seen.put_nowait(record)
                    for out in self.behaviour(record):
                        key = record.key if isinstance(out.key, str) else out.key
                        topic = out.topic or self._outputs
                        await self._clients.writer.send(topic, out.value, key, partition.partition, out.headers)
