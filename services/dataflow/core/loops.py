"""Requests in a graph with cycles: nodes fire as often as records come, until nothing is under way any more."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from services.dataflow.core.emitter import VISIT, Failure
from services.dataflow.core.graph import Feed, Join, Kind, Node, Slot
from services.dataflow.core.messages import Message, joined
from services.dataflow.core.request import RecordShare, Request
from services.dataflow.core.stage import Stage
from shared.errors import InvalidInput


class LoopRequest(Request):
    __slots__ = ("done", "in_batch", "last_failure", "marks", "news", "stale", "under_way", "visits")

    def __init__(self, key: bytes, slots: int) -> None:
        super().__init__(key, slots)
        self.visits: Counter[str] = Counter()
        """By sink: how often something went there."""
        self.under_way: set[tuple[int, int]] = set()
        """Steps and visits whose answer somebody reads and which has not come."""
        self.done: set[tuple[int, int]] = set()
        """Steps and visits that were answered."""
        self.in_batch: Counter[int] = Counter()
        """By node: how often it has fired into a batch that is still open."""
        self.marks: Counter[str] = Counter()
        """By sink: how often an earlier run of this version wrote there."""
        self.news: deque[tuple[Feed, Message]] = deque()
        self.stale: set[int] = set()
        """Nodes that have fired with all they have."""
        self.last_failure: Failure | None = None


class Loops(Stage[LoopRequest]):
    def _new_run(self, key: bytes) -> LoopRequest:
        return LoopRequest(key, self._graph.slots)

    def _recall(self, request: LoopRequest, marks: Mapping[str, int]) -> None:
        request.answered = self._topology.output_topic in marks
        request.marks.update(marks)

    def _take_root(self, request: LoopRequest, feed: Feed, message: Message | None) -> None:
        if message is not None:
            self._spread(request, feed, message)

    def _take_result(self, request: LoopRequest, share: RecordShare, step: int, message: Message) -> None:
        if self._is_news(request, share, step):
            self._spread(request, self._graph.results[step], message)

    def _take_failure(self, request: LoopRequest, share: RecordShare, step: int) -> None:
        if self._is_news(request, share, step):
            request.last_failure = request.failures[step]

    def _is_news(self, request: LoopRequest, share: RecordShare, step: int) -> bool:
        """Was this visit not answered before? Records may come twice."""
        if share.visit is None:
            return True
        visit = (step, share.visit)
        request.under_way.discard(visit)
        if visit in request.done:
            return False
        request.done.add(visit)
        return True

    def _spread(self, request: LoopRequest, feed: Feed, message: Message) -> None:
        request.news.append((feed, message))
        self._drain(request)

    def _drain(self, request: LoopRequest) -> None:
        while request.news and self.requests.get(request.key) is request:
            feed, message = request.news.popleft()
            touched = [node for node, slots in feed if self._fill(request, node, slots, message)]
            for node in touched:
                if self._is_ready(request, node, at_rest=False):
                    self._fire(request, node)

    def _fill(self, request: LoopRequest, node: Node, slots: Sequence[Slot], message: Message) -> bool:
        """What comes takes the place of what came before; whether anything did."""
        found: dict[int, Message] = {}
        try:
            for slot in slots:
                request.values[slot.index] = None
                if not slot.is_trigger:
                    selected = message.select(slot.wanted, slot.renames)
                    if selected is not None:
                        found[slot.index] = selected
                elif message.has(slot.wanted):
                    found[slot.index] = message
        except InvalidInput as error:
            self._spoil(request, node, str(error))
            return False
        if node.join is Join.ANY and any(slot.index in found for slot in node.data):
            for slot in node.data:
                request.values[slot.index] = None
        for index, value in found.items():
            request.values[index] = value
        if found:
            request.stale.discard(node.index)
        return bool(found)

    def _spoil(self, request: LoopRequest, node: Node, reason: str) -> None:
        sentence = f"{node.title} cannot use what it got: {reason}"
        self._emitter.problem("invalid_tensors", sentence, request.headers)
        request.last_failure = self._failure(sentence)

    def _is_ready(self, request: LoopRequest, node: Node, *, at_rest: bool) -> bool:
        """At rest, an outer join waits for no more."""
        fits = _fits(request, node.join, node.data, at_rest) and (
            not node.triggers or _fits(request, node.trigger_join, node.triggers, at_rest)
        )
        return fits and node.index not in request.stale

    def _fire(self, request: LoopRequest, node: Node) -> None:
        values = [value for slot in node.data if isinstance(value := request.values[slot.index], Message)]
        request.stale.add(node.index)
        for slot in node.slots:
            # What comes once is there for every round; what goes round is there for one.
            if slot.step is not None and slot.step in self._graph.recurring:
                request.values[slot.index] = None
        if node.kind is Kind.OUTPUT and request.answered:
            return
        visit = request.visits[node.sink]
        if visit > self._topology.max_step_revisits:
            self._refuse(request, node)
            return
        request.visits[node.sink] += 1
        try:
            message = joined(values)
            self._send(request, node, message, visit)
        except InvalidInput as error:
            self._spoil(request, node, str(error))
            return
        if self._graph.echoes[node.index]:
            request.news.append((self._graph.echoes[node.index], message))

    def _send(self, request: LoopRequest, node: Node, message: Message, visit: int) -> None:
        if node.kind is Kind.OUTPUT:
            request.answered = True
        elif self._graph.results[node.index] and (node.index, visit) not in request.done:
            request.under_way.add((node.index, visit))
        if request.marks[node.sink] > 0:
            request.marks[node.sink] -= 1
        elif node.batch is not None:
            request.in_batch[node.index] += 1
            try:
                self._batches.add(request, node, message, request.headers, visit)
            except InvalidInput:
                request.in_batch[node.index] -= 1
                request.under_way.discard((node.index, visit))
                raise
        else:
            extra = [(VISIT, str(visit).encode())] if node.kind is Kind.STEP else []
            value = message.encoded(is_request=node.kind is not Kind.OUTPUT)
            self._emitter.send(node, request.key, request.partition, value, request.headers, extra)

    def _refuse(self, request: LoopRequest, node: Node) -> None:
        pipeline, most = self._topology.pipeline, self._topology.max_step_revisits
        topic = f"TopicForPipeline(topicName={node.sink}, pipelineName={pipeline})"
        key = request.key.decode(errors="replace")
        failure = self._failure(f"ERROR: Max step revisits ({most}) exceeded for request {key} in topic {topic}")
        if not request.marks[self._topology.error_topic]:
            self._emitter.send_error(
                self._topology.error_topic, request.key, request.partition, request.headers, failure
            )
        self._give_up(request, failure)

    def _sent(self, request: LoopRequest, node: Node) -> None:
        request.in_batch[node.index] -= 1
        self._settle(request)

    def _settle(self, request: LoopRequest) -> None:
        """At rest, first outer joins get their chance, then the request ends."""
        if self.requests.get(request.key) is not request or request.news:
            return
        if request.marks[self._topology.output_topic]:
            self._finish(request)
            return
        if not request.roots:
            return
        while not self._is_busy(request):
            node = next((node for node in self._graph.nodes if self._is_ready(request, node, at_rest=True)), None)
            if node is None:
                failure = request.last_failure or self._failure("nothing more can come, and the output has not")
                if self._graph.output is not None:
                    self._answer_error(request, failure)
                self._finish(request)
                return
            self._fire(request, node)
            self._drain(request)

    def _is_busy(self, request: LoopRequest) -> bool:
        gone = self.requests.get(request.key) is not request
        return gone or bool(request.under_way) or any(count > 0 for count in request.in_batch.values())

    def _answer_with_less(self, request: LoopRequest) -> None:
        output = self._graph.output
        if output is not None and self._is_ready(request, output, at_rest=True):
            self._fire(request, output)

    def _close(self, request: LoopRequest) -> None:
        request.under_way.clear()
        request.values = [None] * len(request.values)
        for node in self._graph.nodes:
            if request.in_batch[node.index] and self._graph.results[node.index]:
                self._batches.drop(request, node)
                request.in_batch[node.index] = 0

    def _waiting_for(self, request: LoopRequest) -> Sequence[str]:
        nodes = self._graph.nodes
        filling = {index for index, count in request.in_batch.items() if count > 0}
        steps = sorted({index for index, _ in request.under_way} - filling)
        return [f"the batch of step {nodes[index].name} to fill" for index in sorted(filling)] + [
            f"model {nodes[index].name}" for index in steps
        ]


def _fits(request: LoopRequest, join: Join, slots: Sequence[Slot], at_rest: bool) -> bool:
    present = sum(1 for slot in slots if request.values[slot.index] is not None)
    if join is Join.INNER or (join is Join.OUTER and not at_rest):
        return present == len(slots)
    return present > 0
