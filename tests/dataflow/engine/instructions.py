"""Instructions as the scheduler sends them."""

import itertools
from collections.abc import Sequence

from mlops.chainer.chainer_pb2 import PipelineStepUpdate, PipelineTopic, PipelineUpdateMessage

from shared.kafka.names import TopicNames
from shared.owners import attach

_stamps = itertools.count(1)


class Described:
    """A pipeline that is put together step by step."""

    def __init__(self, topics: TopicNames, pipeline: str, version: int = 1) -> None:
        self._topics = topics
        self.pipeline = pipeline
        self.version = version
        self.uid = f"{pipeline}-{version}"
        self._updates: list[PipelineStepUpdate] = []

    @property
    def source(self) -> PipelineTopic:
        """Its input."""
        return PipelineTopic(pipelineName=self.pipeline, topicName=self._topics.pipeline_inputs(self.pipeline))

    def of(self, model: str, tensor: str | None = None) -> PipelineTopic:
        """What a step's model answers."""
        topic = self._topics.model_outputs(model)
        return PipelineTopic(pipelineName=self.pipeline, topicName=topic, tensor=tensor)

    def step(self, model: str, *sources: PipelineTopic, window_ms: int | None = None) -> PipelineTopic:
        self._add(self._topics.model_inputs(model), sources or (self.source,), window_ms)
        return self.of(model)

    def output(self, *sources: PipelineTopic, window_ms: int | None = None) -> None:
        self._add(self._topics.pipeline_outputs(self.pipeline), sources, window_ms)

    def create(self, owners: Sequence[str] = ()) -> PipelineUpdateMessage:
        message = self._message(PipelineUpdateMessage.Create)
        message.updates.extend(self._updates)
        attach(message, owners)
        return message

    def delete(self, *, with_topics: bool = False) -> PipelineUpdateMessage:
        message = self._message(PipelineUpdateMessage.Delete)
        if with_topics:
            output = PipelineTopic(pipelineName=self.pipeline, topicName=self._topics.pipeline_outputs(self.pipeline))
            message.updates.add(sources=[self.source], sink=output)
        return message

    def _add(self, sink: str, sources: Sequence[PipelineTopic], window_ms: int | None) -> None:
        topic = PipelineTopic(pipelineName=self.pipeline, topicName=sink)
        self._updates.append(
            PipelineStepUpdate(
                sources=sources, sink=topic, inputJoinTy=PipelineStepUpdate.Inner, joinWindowMs=window_ms
            )
        )

    def _message(self, op: PipelineUpdateMessage.PipelineOperation.ValueType) -> PipelineUpdateMessage:
        return PipelineUpdateMessage(
            op=op,
            pipeline=self.pipeline,
            version=self.version,
            uid=self.uid,
            pipelineOutputTopic=self._topics.pipeline_outputs(self.pipeline),
            pipelineErrorTopic=self._topics.errors,
            timestamp=next(_stamps),
            stream="test",
        )


def chain(topics: TopicNames, pipeline: str, *models: str, version: int = 1) -> Described:
    described = Described(topics, pipeline, version)
    last = described.source
    for model in models:
        last = described.step(model, last)
    described.output(last)
    return described


def join(topics: TopicNames, pipeline: str, left: str, right: str, version: int = 1) -> Described:
    """Two models side by side, their answers joined into the output."""
    described = Described(topics, pipeline, version)
    described.output(described.step(left), described.step(right))
    return described
