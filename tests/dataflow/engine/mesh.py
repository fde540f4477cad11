"""What surrounds an engine: models that answer, callers that send and collect. All over a real broker."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from aiokafka import TopicPartition
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from shared.kafka import headers
from shared.kafka.config import KafkaConfig
from shared.kafka.names import partition_of, record_key
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import TopicAdmin
from shared.kafka.writer import Writer

PATIENCE: Final = 60.0
"""Seconds after which a wait is a failure."""


class Mesh:
    """One reader and one writer for all models and callers of a test, beside those of the engine."""

    def __init__(self, config: KafkaConfig) -> None:
        self.config = config
        self.names = config.topics
        self.reader, self.writer, self.topics = Reader(config), Writer(config), TopicAdmin(config)
        self.answers: defaultdict[str, list[Record]] = defaultdict(list)
        """By id of the request."""
        self.asked: defaultdict[str, list[Record]] = defaultdict(list)
        """What models were asked, by model."""
        self._answers_to: dict[str, tuple[str, str, int]] = {}
        """By topic of what is asked: the model, the topic of its answers, and how many partitions that has."""
        self._held: dict[str, list[Record]] = {}
        self._ids = itertools.count()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Mesh":
        await self.topics.start()
        await self.reader.start()
        await self.writer.start()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for part in (self.reader, self.writer, self.topics):
            await part.stop()

    async def serve(self, *models: str) -> None:
        """Answer what these models are asked: each input tensor comes back under the model's name and its own."""
        for model in models:
            asked, answers = self.names.model_inputs(model), self.names.model_outputs(model)
            counts = await self.topics.ensure([asked, answers])
            self._answers_to[asked] = (model, answers, counts[answers])
            self.reader.add({TopicPartition(asked, number): 0 for number in range(counts[asked])})

    async def watch(self, *pipelines: str) -> None:
        """Collect the answers of these pipelines, from now on."""
        for pipeline in pipelines:
            topic = self.names.pipeline_outputs(pipeline)
            await self.topics.ensure([topic, self.names.pipeline_inputs(pipeline)])
            count = (await self.topics.partitions([topic]))[topic]
            self.reader.add(await self.reader.end_offsets([TopicPartition(topic, number) for number in range(count)]))

    async def read_more(self) -> None:
        """The partitions that have been added to the topics that are read."""
        read = self.reader.partitions
        counts = await self.topics.partitions({partition.topic for partition in read})
        found = {TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)}
        self.reader.add(dict.fromkeys(found - read, 0))
        for topic, (model, answers, _) in list(self._answers_to.items()):
            self._answers_to[topic] = (model, answers, counts[topic])

    def hold(self, model: str) -> None:
        """Let the model think until `release`."""
        self._held.setdefault(model, [])

    async def release(self, model: str) -> None:
        for record in self._held.pop(model):
            await self._answer(record)

    async def send(
        self,
        pipeline: str,
        count: int,
        partition: int = 0,
        more: Iterable[tuple[str, bytes]] = (),
        size: int = 0,
    ) -> list[str]:
        """Send requests with one tensor `INPUT`, and a parameter that makes them longer; their ids."""
        ids = [str(next(self._ids)) for _ in range(count)]
        sent = []
        for request_id in ids:
            request = ModelInferRequest(id=request_id)
            request.inputs.add(name="INPUT", datatype="INT64", shape=[1]).contents.int64_contents.append(
                int(request_id)
            )
            if size:
                request.parameters["long"].string_param = "x" * size
            value = request.SerializeToString()
            sent.append(await self.put(pipeline, request_id, value, partition, more))
        await asyncio.gather(*sent)
        return ids

    async def put(
        self,
        pipeline: str,
        request_id: str,
        value: bytes,
        partition: int = 0,
        more: Iterable[tuple[str, bytes]] = (),
    ) -> "asyncio.Future[object]":
        topic = self.names.pipeline_inputs(pipeline)
        key = record_key(partition, pipeline, request_id)
        marks = [(headers.PIPELINE, pipeline.encode()), (headers.REQUEST_ID, request_id.encode()), *more]
        return await self.writer.send(topic, value, key, partition, marks)

    async def answered(self, ids: Iterable[str]) -> dict[str, Record]:
        """The one answer of each request; a second one, or none in time, fails."""
        wanted = list(ids)
        async with asyncio.timeout(PATIENCE):
            while not all(request_id in self.answers for request_id in wanted):
                await self._next_news()
        return {request_id: self.only_answer(request_id) for request_id in wanted}

    def only_answer(self, request_id: str) -> Record:
        found = self.answers[request_id]
        assert len(found) == 1, f"request {request_id} has {len(found)} answers"
        return found[0]

    async def until_asked(self, model: str, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.asked[model]) < count:
                await self._next_news()

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _run(self) -> None:
        while True:
            for partition, records in (await self.reader.poll()).items():
                if partition.topic not in self._answers_to:
                    for record in records:
                        self.answers[_request_id(record)].append(record)
                    continue
                model, *_ = self._answers_to[partition.topic]
                self.asked[model] += records
                if model in self._held:
                    self._held[model] += records
                else:
                    for record in records:
                        await self._answer(record)
                self._news.set()
            self._news.set()

    async def _answer(self, record: Record) -> None:
        model, topic, partitions = self._answers_to[record.topic]
        request = ModelInferRequest.FromString(record.value)
        response = ModelInferResponse(model_name=f"{model}_1", id=request.id)
        for tensor in request.inputs:
            response.outputs.add(
                name=f"{tensor.name}-{model}", datatype=tensor.datatype, shape=tensor.shape
            ).contents.MergeFromString(tensor.contents.SerializeToString())
        await self.writer.send(
            topic, response.SerializeToString(), record.key, partition_of(record.key, partitions), record.headers
        )


def tensors(record: Record) -> Mapping[str, int]:
    """The answer's tensors, of one number each."""
    response = ModelInferResponse.FromString(record.value)
    return {tensor.name: tensor.contents.int64_contents[0] for tensor in response.outputs}


def _request_id(record: Record) -> str:
    return str(record.key.decode().rsplit(".", 1)[-1])
