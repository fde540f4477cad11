"""A pipeline version as the scheduler describes it, checked and turned into graphs."""

from collections.abc import Mapping, Sequence
from typing import Final

from mlops.chainer.chainer_pb2 import PipelineStepUpdate, PipelineTopic, PipelineUpdateMessage

from services.dataflow.core.graph import BatchLimits, Graph, Join, Kind, Node, Slot, build
from shared.errors import InvalidInput

_INPUTS: Final = ".inputs"
_OUTPUTS: Final = ".outputs"
_JOINS: Final = {
    PipelineStepUpdate.Unknown: Join.INNER,
    PipelineStepUpdate.Inner: Join.INNER,
    PipelineStepUpdate.Outer: Join.OUTER,
    PipelineStepUpdate.Any: Join.ANY,
}


class Topology:
    """What one pipeline version reads and writes. Raises InvalidInput when the instruction makes no sense."""

    pipeline: str
    version: int
    uid: str
    input_topic: str
    """Records there carry no version of their own; the engine decides which version takes them."""
    output_topic: str
    error_topic: str
    accepts: Mapping[str, frozenset[str]]
    """Topics to read, and the values of header `pipeline` with which a record there concerns this pipeline."""
    sinks: frozenset[str]
    """Topics that are written."""
    max_step_revisits: int
    steps: Mapping[str, int]
    """Index of each step's node in `main`."""
    main: Graph
    """From the pipeline's input to its output."""
    asks_for_outputs: bool
    """Its answer is that of its only model, which is then asked for the outputs that a request names."""
    intake: Graph | None
    """From other pipelines' records to the pipeline's input."""

    def __init__(self, message: PipelineUpdateMessage) -> None:
        self.pipeline, self.version, self.uid = message.pipeline, message.version, message.uid
        if not self.pipeline:
            raise InvalidInput.of_field("pipeline", "", "name the pipeline")
        self.output_topic = _directed("pipelineOutputTopic", message.pipelineOutputTopic, _OUTPUTS)
        self.input_topic = self.output_topic.removesuffix(_OUTPUTS) + _INPUTS
        self.error_topic = message.pipelineErrorTopic
        if not self.error_topic:
            raise InvalidInput.of_field("pipelineErrorTopic", "", "name the topic")
        self.max_step_revisits = message.maxStepRevisits
        updates = [update for update in message.updates if not self._is_error_update(update)]
        kinds = [self._kind(update) for update in updates]
        intakes = [update for update, kind in zip(updates, kinds, strict=True) if kind is Kind.INTAKE]
        others = [(kind, update) for update, kind in zip(updates, kinds, strict=True) if kind is not Kind.INTAKE]
        self._check_sinks([update.sink.topicName for update in updates])
        self.steps = {
            _resource(update.sink.topicName): index for index, (kind, update) in enumerate(others) if kind is Kind.STEP
        }
        if not self.steps:
            raise InvalidInput.of_field("updates", "", "a pipeline needs at least one step")
        self.main = self._graph(others)
        self.intake = self._graph([(Kind.INTAKE, update) for update in intakes]) if intakes else None
        if self.main.recurring and not message.allowCycles:
            names = ", ".join(self.main.nodes[index].name for index in sorted(self.main.recurring))
            raise InvalidInput(f"pipeline {self.pipeline} has a cycle among {names}: set allowCycles or break it")
        self.asks_for_outputs = self._asks_for_outputs()
        self.accepts = self._accepted()
        self.sinks = frozenset(update.sink.topicName for update in updates) | {self.output_topic, self.error_topic}

    def _is_error_update(self, update: PipelineStepUpdate) -> bool:
        return any(source.topicName == self.error_topic for source in update.sources)

    def _kind(self, update: PipelineStepUpdate) -> Kind:
        sink = update.sink.topicName
        if sink == self.output_topic:
            return Kind.OUTPUT
        if sink == self.input_topic:
            return Kind.INTAKE
        _directed("sink", sink, _INPUTS)
        return Kind.STEP

    def _check_sinks(self, sinks: Sequence[str]) -> None:
        for sink in sinks:
            if sinks.count(sink) > 1:
                raise InvalidInput.of_field("sink", sink, "let only one update write a topic")

    def _graph(self, updates: Sequence[tuple[Kind, PipelineStepUpdate]]) -> Graph:
        nodes: list[Node] = []
        first_slot = 0
        for index, (kind, update) in enumerate(updates):
            node = self._node(index, kind, update, first_slot)
            nodes.append(node)
            first_slot += len(node.slots)
        return build(nodes)

    def _node(self, index: int, kind: Kind, update: PipelineStepUpdate, first_slot: int) -> Node:
        sink = update.sink.topicName
        if not update.sources:
            raise InvalidInput.of_field("sources", "", f"name what goes to {sink}")
        data = self._slots(kind, update, update.sources, first_slot, is_trigger=False)
        triggers = self._slots(kind, update, update.triggers, first_slot + len(data), is_trigger=True)
        return Node(
            index=index,
            kind=kind,
            name=_resource(sink) if kind is Kind.STEP else self.pipeline,
            sink=sink,
            data=data,
            triggers=triggers,
            join=_JOINS[update.inputJoinTy],
            trigger_join=_JOINS[update.triggersJoinTy],
            window_ms=update.joinWindowMs or None,
            batch=_batch(update) if kind is Kind.STEP else None,
        )

    def _slots(
        self, kind: Kind, update: PipelineStepUpdate, topics: Sequence[PipelineTopic], first: int, *, is_trigger: bool
    ) -> tuple[Slot, ...]:
        wanted: dict[tuple[str, str], set[bytes]] = {}
        for topic in topics:
            tensors = wanted.setdefault((topic.pipelineName or self.pipeline, topic.topicName), set())
            # A reference to the whole topic beside one to a tensor of it adds nothing.
            if topic.tensor:
                tensors.add(topic.tensor.encode())
        slots = []
        for index, ((pipeline, topic_name), tensors) in enumerate(wanted.items(), first):
            step, is_echo = self._writer(pipeline, topic_name) if kind is not Kind.INTAKE else (None, False)
            slots.append(
                Slot(
                    index=index,
                    pipeline=pipeline,
                    topic=topic_name,
                    wanted=frozenset(tensors) or None,
                    renames=_renames(update, pipeline, topic_name),
                    is_trigger=is_trigger,
                    step=step,
                    is_echo=is_echo,
                )
            )
        return tuple(slots)

    def _writer(self, pipeline: str, topic: str) -> tuple[int | None, bool]:
        """The step that a topic belongs to, and whether it holds what goes to its model."""
        if pipeline == self.pipeline and topic == self.input_topic:
            return None, False
        step = self.steps.get(_resource(topic))
        if pipeline != self.pipeline or step is None or not topic.endswith((_INPUTS, _OUTPUTS)):
            raise InvalidInput.of_field("source", f"{topic} of pipeline {pipeline}", "read a step or the input")
        return step, topic.endswith(_INPUTS)

    def _asks_for_outputs(self) -> bool:
        output = self.main.output
        if len(self.steps) > 1 or self.main.recurring or any(node.batch for node in self.main.nodes):
            return False
        return output is None or all(slot.wanted is None and not slot.renames for slot in output.slots)

    def _accepted(self) -> Mapping[str, frozenset[str]]:
        accepts: dict[str, set[str]] = {self.input_topic: {self.pipeline}, self.error_topic: {self.pipeline}}
        for graph in (self.main, self.intake):
            for pipeline, topic in graph.feeds if graph else ():
                accepts.setdefault(topic, set()).add(pipeline)
        return {topic: frozenset(pipelines) for topic, pipelines in accepts.items()}


def _directed(field: str, topic: str, direction: str) -> str:
    if len(topic.split(".")) < 3 or not topic.endswith(direction):
        raise InvalidInput.of_field(field, topic, f"use a topic '<model or pipeline>.<name>{direction}'")
    return topic


def _resource(topic: str) -> str:
    parts = topic.rsplit(".", 2)
    return parts[1] if len(parts) == 3 else topic


def _batch(update: PipelineStepUpdate) -> BatchLimits | None:
    if update.batch.size < 1:
        return None
    return BatchLimits(update.batch.size, update.batch.windowMs or None)


def _renames(update: PipelineStepUpdate, pipeline: str, topic: str) -> Mapping[bytes, bytes]:
    head = f"{topic}."
    return {
        entry.topicAndTensor.removeprefix(head).encode(): entry.tensorName.encode()
        for entry in update.tensorMap
        if entry.pipelineName == pipeline and entry.topicAndTensor.startswith(head)
    }
