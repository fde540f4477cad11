"""What to tell a caller who gets no answer: why nothing can come, or what has not come yet."""

from collections.abc import Iterator, Sequence

from services.dataflow.core.emitter import Failure
from services.dataflow.core.graph import Graph, Node, Slot
from services.dataflow.core.joining import ABSENT
from services.dataflow.core.pass_request import PassRequest, Status


class Reasons:
    def __init__(self, pipeline: str, graph: Graph, request: PassRequest) -> None:
        self._pipeline = pipeline
        self._graph = graph
        self._run = request

    def of(self, node: Node) -> Failure:
        """Why a dead node is dead. What a model said goes before what we have to say."""
        failures = list(self._of(node))
        for failure in failures:
            if failure.name != self._pipeline:
                return failure
        sentences = dict.fromkeys(failure.text for failure in failures)
        return Failure(self._pipeline, b"; ".join(sentences))

    def waiting(self) -> Sequence[str]:
        """What the output waits for."""
        output = self._graph.output
        return list(dict.fromkeys(self._waiting(output))) if output is not None else []

    def _of(self, node: Node) -> Iterator[Failure]:
        request = self._run
        if node.index in request.notes:
            yield self._failure(request.notes[node.index])
            return
        for slot in node.slots:
            if request.values[slot.index] is not ABSENT:
                continue
            if slot.step is not None and slot.step in request.failures and not slot.is_echo:
                yield request.failures[slot.step]
            elif slot.step is not None and request.status[slot.step] is Status.DEAD:
                yield from self._of(self._graph.nodes[slot.step])
            else:
                yield self._failure(_lack(node, slot))

    def _waiting(self, node: Node) -> Iterator[str]:
        if self._run.status[node.index] is Status.IN_BATCH:
            yield f"the batch of step {node.name} to fill"
            return
        for slot in node.slots:
            if slot.step is None or self._run.values[slot.index] is not None:
                continue
            step = self._graph.nodes[slot.step]
            if self._run.status[slot.step] is Status.FIRED or slot.step in self._run.sent:
                yield f"model {step.name}"
            else:
                yield from self._waiting(step)

    def _failure(self, sentence: str) -> Failure:
        return Failure(self._pipeline, sentence.encode())


def _lack(node: Node, slot: Slot) -> str:
    lacks = "no tensors"
    if slot.wanted is not None:
        names = ", ".join(sorted(name.decode(errors="replace") for name in slot.wanted))
        lacks = f"no tensor {names}" if len(slot.wanted) == 1 else f"none of the tensors {names}"
    return f"{node.title} {'was not triggered' if slot.is_trigger else 'got nothing'}: {slot.source} has {lacks}"
