"""A pipeline as dataflow engines see it: which streams to join into which topic."""

from collections.abc import Iterable, Mapping
from typing import Final

from mlops.chainer import chainer_pb2 as chainer
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.pipelines.references import Reference, parse, parse_external, selected
from shared.kafka.names import TopicNames

_JOIN_TYPES: Final[Mapping[int, chainer.PipelineStepUpdate.PipelineJoinType.ValueType]] = {
    pb.PipelineStep.INNER: chainer.PipelineStepUpdate.Inner,
    pb.PipelineStep.OUTER: chainer.PipelineStepUpdate.Outer,
    pb.PipelineStep.ANY: chainer.PipelineStepUpdate.Any,
}


def creation(pipeline: pb.Pipeline, topics: TopicNames) -> chainer.PipelineUpdateMessage:
    """The instruction to run a valid pipeline; `timestamp` and `stream` are left to the sender."""
    updates = [_step(pipeline, step, topics) for step in pipeline.steps]
    if pipeline.HasField("input"):
        updates.append(_input(pipeline, topics))
    if pipeline.HasField("output"):
        updates.append(_output(pipeline, topics))
    updates.append(_errors(pipeline.name, topics))
    return chainer.PipelineUpdateMessage(
        op=chainer.PipelineUpdateMessage.Create,
        pipeline=pipeline.name,
        version=pipeline.version,
        uid=pipeline.uid,
        updates=updates,
        pipelineOutputTopic=topics.pipeline_outputs(pipeline.name),
        pipelineErrorTopic=topics.errors,
        allowCycles=pipeline.allowCycles,
        maxStepRevisits=pipeline.maxStepRevisits,
    )


def deletion(pipeline: pb.Pipeline, topics: TopicNames, *, with_topics: bool) -> chainer.PipelineUpdateMessage:
    """The instruction to stop a pipeline; `with_topics` has its own input and output topic removed as well."""
    name = pipeline.name
    removed = chainer.PipelineStepUpdate(
        sources=[_own_topic(name, topics.pipeline_inputs(name))], sink=_own_topic(name, topics.pipeline_outputs(name))
    )
    return chainer.PipelineUpdateMessage(
        op=chainer.PipelineUpdateMessage.Delete,
        pipeline=name,
        version=pipeline.version,
        uid=pipeline.uid,
        updates=[removed] if with_topics else [],
    )


def _step(pipeline: pb.Pipeline, step: pb.PipelineStep, topics: TopicNames) -> chainer.PipelineStepUpdate:
    name = pipeline.name
    inputs = [parse(text, name) for text in step.inputs] or [Reference(name, None, "inputs", None)]
    update = chainer.PipelineStepUpdate(
        sources=_streams(inputs, topics),
        triggers=_streams((parse(text, name) for text in step.triggers), topics),
        sink=_own_topic(name, topics.model_inputs(step.name)),
        inputJoinTy=_JOIN_TYPES[step.inputsJoin],
        triggersJoinTy=_JOIN_TYPES[step.triggersJoin],
        joinWindowMs=step.joinWindowMs if step.HasField("joinWindowMs") else None,
        tensorMap=_renamings({parse(key, name): renamed for key, renamed in step.tensorMap.items()}, topics),
    )
    if step.HasField("batch"):
        update.batch.CopyFrom(
            chainer.Batch(
                size=step.batch.size if step.batch.HasField("size") else None,
                windowMs=step.batch.windowMs if step.batch.HasField("windowMs") else None,
            )
        )
    return update


def _input(pipeline: pb.Pipeline, topics: TopicNames) -> chainer.PipelineStepUpdate:
    given = pipeline.input
    return chainer.PipelineStepUpdate(
        sources=_streams(map(parse_external, given.externalInputs), topics),
        triggers=_streams(map(parse_external, given.externalTriggers), topics),
        sink=_own_topic(pipeline.name, topics.pipeline_inputs(pipeline.name)),
        inputJoinTy=_JOIN_TYPES[given.joinType],
        triggersJoinTy=_JOIN_TYPES[given.triggersJoin],
        joinWindowMs=given.joinWindowMs if given.HasField("joinWindowMs") else None,
        tensorMap=_renamings({parse_external(key): renamed for key, renamed in given.tensorMap.items()}, topics),
    )


def _output(pipeline: pb.Pipeline, topics: TopicNames) -> chainer.PipelineStepUpdate:
    name, given = pipeline.name, pipeline.output
    return chainer.PipelineStepUpdate(
        sources=_streams((parse(text, name) for text in given.steps), topics),
        sink=_own_topic(name, topics.pipeline_outputs(name)),
        inputJoinTy=_JOIN_TYPES[given.stepsJoin],
        joinWindowMs=given.joinWindowMs or None,
        tensorMap=_renamings({parse(key, name): renamed for key, renamed in given.tensorMap.items()}, topics),
    )


def _errors(pipeline: str, topics: TopicNames) -> chainer.PipelineStepUpdate:
    """Errors of any step reach the caller by the topic that answers come on."""
    return chainer.PipelineStepUpdate(
        sources=[_own_topic(pipeline, topics.errors)],
        sink=_own_topic(pipeline, topics.pipeline_outputs(pipeline)),
        inputJoinTy=chainer.PipelineStepUpdate.Inner,
    )


def _streams(references: Iterable[Reference], topics: TopicNames) -> list[chainer.PipelineTopic]:
    return [
        chainer.PipelineTopic(pipelineName=each.pipeline, topicName=each.topic(topics), tensor=each.tensor)
        for each in selected(references)
    ]


def _renamings(renamed: Mapping[Reference, str], topics: TopicNames) -> list[chainer.PipelineTensorMapping]:
    """Sorted, so that equal definitions give equal instructions."""
    mappings = [
        chainer.PipelineTensorMapping(
            pipelineName=each.pipeline, topicAndTensor=f"{each.topic(topics)}.{each.tensor}", tensorName=name
        )
        for each, name in renamed.items()
    ]
    return sorted(mappings, key=lambda mapping: (mapping.topicAndTensor, mapping.pipelineName))


def _own_topic(pipeline: str, topic: str) -> chainer.PipelineTopic:
    return chainer.PipelineTopic(pipelineName=pipeline, topicName=topic)
