"""Requests in a graph with cycles: nodes fire as often as records come, until nothing is under way any more."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from services.dataflow.core.emitter import VISIT, Failure
from services.dataflow.core.graph import Feed, Join, Kind, Node, Slot
from services.dataflow.core.messages import Message, joined
from services.dataflow.core.run import Part, Run
from services.dataflow.core.stage import Stage
from shared.errors import InvalidInput


class LoopRun(Run):
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


class Loops(Stage[LoopRun]):
    def _new_run(self, key: bytes) -> LoopRun:
        return LoopRun(key, self._graph.slots)

    def _recall(self, run: LoopRun, marks: Mapping[str, int]) -> None:
        run.answered = self._topology.output_topic in marks
        run.marks.update(marks)

    def _take_root(self, run: LoopRun, feed: Feed, message: Message | None) -> None:
        if message is not None:
            self._spread(run, feed, message)

    def _take_result(self, run: LoopRun, part: Part, step: int, message: Message) -> None:
        if self._is_news(run, part, step):
            self._spread(run, self._graph.results[step], message)

    def _take_failure(self, run: LoopRun, part: Part, step: int) -> None:
        if self._is_news(run, part, step):
            run.last_failure = run.failures[step]

    def _is_news(self, run: LoopRun, part: Part, step: int) -> bool:
        """Was this visit not answered before? Records may come twice."""
        if part.visit is None:
            return True
        visit = (step, part.visit)
        run.under_way.discard(visit)
        if visit in run.done:
            return False
        run.done.add(visit)
        return True

    def _spread(self, run: LoopRun, feed: Feed, message: Message) -> None:
        run.news.append((feed, message))
        self._drain(run)

    def _drain(self, run: LoopRun) -> None:
        while run.news and self.runs.get(run.key) is run:
            feed, message = run.news.popleft()
            touched = [node for node, slots in feed if self._fill(run, node, slots, message)]
            for node in touched:
                if self._is_ready(run, node, at_rest=False):
                    self._fire(run, node)

    def _fill(self, run: LoopRun, node: Node, slots: Sequence[Slot], message: Message) -> bool:
        """What comes takes the place of what came before; whether anything did."""
        found: dict[int, Message] = {}
        try:
            for slot in slots:
                run.values[slot.index] = None
                if not slot.is_trigger:
                    selected = message.select(slot.wanted, slot.renames)
                    if selected is not None:
                        found[slot.index] = selected
                elif message.has(slot.wanted):
                    found[slot.index] = message
        except InvalidInput as error:
            self._spoil(run, node, str(error))
            return False
        if node.join is Join.ANY and any(slot.index in found for slot in node.data):
            for slot in node.data:
                run.values[slot.index] = None
        for index, value in found.items():
            run.values[index] = value
        if found:
            run.stale.discard(node.index)
        return bool(found)

    def _spoil(self, run: LoopRun, node: Node, reason: str) -> None:
        sentence = f"{node.title} cannot use what it got: {reason}"
        self._emitter.problem("invalid_tensors", sentence, run.headers)
        run.last_failure = self._failure(sentence)

    def _is_ready(self, run: LoopRun, node: Node, *, at_rest: bool) -> bool:
        """At rest, an outer join waits for no more."""
        fits = _fits(run, node.join, node.data, at_rest) and (
            not node.triggers or _fits(run, node.trigger_join, node.triggers, at_rest)
        )
        return fits and node.index not in run.stale

    def _fire(self, run: LoopRun, node: Node) -> None:
        values = [value for slot in node.data if isinstance(value := run.values[slot.index], Message)]
        run.stale.add(node.index)
        for slot in node.slots:
            # What comes once is there for every round; what goes round is there for one.
            if slot.step is not None and slot.step in self._graph.recurring:
                run.values[slot.index] = None
        if node.kind is Kind.OUTPUT and run.answered:
            return
        visit = run.visits[node.sink]
        if visit > self._topology.max_step_revisits:
            self._refuse(run, node)
            return
        run.visits[node.sink] += 1
        try:
            message = joined(values)
            self._send(run, node, message, visit)
        except InvalidInput as error:
            self._spoil(run, node, str(error))
            return
        if self._graph.echoes[node.index]:
            run.news.append((self._graph.echoes[node.index], message))

    def _send(self, run: LoopRun, node: Node, message: Message, visit: int) -> None:
        if node.kind is Kind.OUTPUT:
            run.answered = True
        elif self._graph.results[node.index] and (node.index, visit) not in run.done:
            run.under_way.add((node.index, visit))
        if run.marks[node.sink] > 0:
            run.marks[node.sink] -= 1
        elif node.batch is not None:
            run.in_batch[node.index] += 1
            try:
                self._batches.add(run, node, message, run.headers, visit)
            except InvalidInput:
                run.in_batch[node.index] -= 1
                run.under_way.discard((node.index, visit))
                raise
        else:
            extra = [(VISIT, str(visit).encode())] if node.kind is Kind.STEP else []
            value = message.encoded(is_request=node.kind is not Kind.OUTPUT)
            self._emitter.send(node, run.key, run.lane, value, run.headers, extra)

    def _refuse(self, run: LoopRun, node: Node) -> None:
        pipeline, most = self._topology.pipeline, self._topology.max_step_revisits
        topic = f"TopicForPipeline(topicName={node.sink}, pipelineName={pipeline})"
        key = run.key.decode(errors="replace")
        failure = self._failure(f"ERROR: Max step revisits ({most}) exceeded for request {key} in topic {topic}")
        if not run.marks[self._topology.error_topic]:
            self._emitter.send_error(self._topology.error_topic, run.key, run.lane, run.headers, failure)
        self._give_up(run, failure)

    def _sent(self, run: LoopRun, node: Node) -> None:
        run.in_batch[node.index] -= 1
        self._settle(run)

    def _settle(self, run: LoopRun) -> None:
        """At rest, first outer joins get their chance, then the request ends."""
        if self.runs.get(run.key) is not run or run.news:
            return
        if run.marks[self._topology.output_topic]:
            self._finish(run)
            return
        if not run.roots:
            return
        while not self._is_busy(run):
            node = next((node for node in self._graph.nodes if self._is_ready(run, node, at_rest=True)), None)
            if node is None:
                failure = run.last_failure or self._failure("nothing more can come, and the output has not")
                if self._graph.output is not None:
                    self._answer_error(run, failure)
                self._finish(run)
                return
            self._fire(run, node)
            self._drain(run)

    def _is_busy(self, run: LoopRun) -> bool:
        gone = self.runs.get(run.key) is not run
        return gone or bool(run.under_way) or any(count > 0 for count in run.in_batch.values())

    def _answer_with_less(self, run: LoopRun) -> None:
        output = self._graph.output
        if output is not None and self._is_ready(run, output, at_rest=True):
            self._fire(run, output)

    def _close(self, run: LoopRun) -> None:
        run.under_way.clear()
        run.values = [None] * len(run.values)
        for node in self._graph.nodes:
            if run.in_batch[node.index] and self._graph.results[node.index]:
                self._batches.drop(run, node)
                run.in_batch[node.index] = 0

    def _waiting_for(self, run: LoopRun) -> Sequence[str]:
        nodes = self._graph.nodes
        filling = {index for index, count in run.in_batch.items() if count > 0}
        steps = sorted({index for index, _ in run.under_way} - filling)
        return [f"the batch of step {nodes[index].name} to fill" for index in sorted(filling)] + [
            f"model {nodes[index].name}" for index in steps
        ]


def _fits(run: LoopRun, join: Join, slots: Sequence[Slot], at_rest: bool) -> bool:
    present = sum(1 for slot in slots if run.values[slot.index] is not None)
    if join is Join.INNER or (join is Join.OUTER and not at_rest):
        return present == len(slots)
    return present > 0
