"""Requests in a graph without cycles: every node fires at most once, or is known never to."""

from collections.abc import Mapping, Sequence
from functools import partial

from services.dataflow.core.graph import Feed, Join, Node, Slot
from services.dataflow.core.joining import ABSENT, Verdict, verdict
from services.dataflow.core.messages import Message, joined
from services.dataflow.core.pass_run import PassRun, Status
from services.dataflow.core.reasons import Reasons
from services.dataflow.core.run import Part
from services.dataflow.core.stage import Stage
from shared.errors import InvalidInput
from shared.kafka.headers import ERROR

_WAITING, _IN_BATCH, _FIRED, _DEAD = Status
_READY, _DEAD_END = Verdict.READY, Verdict.DEAD


class SinglePass(Stage[PassRun]):
    def _new_run(self, key: bytes) -> PassRun:
        return PassRun(key, len(self._graph.nodes), self._graph.slots)

    def _recall(self, run: PassRun, marks: Mapping[str, int]) -> None:
        run.answered = self._topology.output_topic in marks
        run.sent = {node.index for node in self._graph.nodes if node.sink in marks}
        self._conclude(run.sent, is_failed=ERROR in marks)
        # Readers of what a step got need it once more, unless all of them have been through as well.
        done: set[int] = set()
        while more := {
            index for index in run.sent - done if all(reader.index in done for reader, _ in self._graph.echoes[index])
        }:
            done |= more
        for index in done:
            self._set(run, index, _FIRED)

    def _conclude(self, sent: set[int], *, is_failed: bool) -> None:
        """What got all that it needs from steps shows that these were asked."""
        nodes = [self._graph.nodes[index] for index in sent]
        while nodes:
            node = nodes.pop()
            if node.is_output and is_failed:
                continue
            for join, slots in ((node.join, node.data), (node.trigger_join, node.triggers)):
                if join is Join.INNER or len(slots) == 1:
                    new = {slot.step for slot in slots if slot.step is not None} - sent
                    sent |= new
                    nodes += [self._graph.nodes[index] for index in new]

    def _take_root(self, run: PassRun, feed: Feed, message: Message | None) -> None:
        self._feed(run, feed, message)

    def _take_result(self, run: PassRun, part: Part, step: int, message: Message) -> None:
        self._feed(run, self._graph.results[step], message)

    def _take_failure(self, run: PassRun, part: Part, step: int) -> None:
        self._feed(run, self._graph.results[step], None)

    def _feed(self, run: PassRun, feed: Feed, message: Message | None) -> None:
        """Without a message, its readers get nothing, ever."""
        status = run.status
        touched = []
        for node, slots in feed:
            if status[node.index] is _WAITING and self._fill(run, node, slots, message):
                touched.append(node)
        for node in touched:
            if status[node.index] is _WAITING:
                self._decide(run, node)

    def _fill(self, run: PassRun, node: Node, slots: Sequence[Slot], message: Message | None) -> bool:
        """Whether anything was new."""
        values = run.values
        if node.keeps_first and self._has_data(run, node):
            slots = [slot for slot in slots if slot.is_trigger]
        is_new = False
        for slot in slots:
            index = slot.index
            if values[index] is not None:
                continue
            is_new = True
            values[index] = ABSENT
            if message is None:
                continue
            try:
                if not slot.is_trigger:
                    values[index] = message.select(slot.wanted, slot.renames) or ABSENT
                elif message.has(slot.wanted):
                    values[index] = message
            except InvalidInput as error:
                self._spoil(run, node, f"{slot.source}: {error}")
        return is_new

    def _spoil(self, run: PassRun, node: Node, sentence: str) -> None:
        run.notes[node.index] = f"{node.title} cannot use {sentence}"
        self._emitter.problem("invalid_tensors", run.notes[node.index], run.headers)

    def _has_data(self, run: PassRun, node: Node) -> bool:
        return any(isinstance(run.values[slot.index], Message) for slot in node.data)

    def _decide(self, run: PassRun, node: Node) -> None:
        if node.only_slot is not None:
            if run.values[node.only_slot.index] is ABSENT:
                self._die(run, node)
            else:
                self._fire(run, node)
            return
        data = verdict(node.join, node.data, run.values)
        triggers = verdict(node.trigger_join, node.triggers, run.values) if node.triggers else _READY
        if data is _DEAD_END or triggers is _DEAD_END:
            self._die(run, node)
        elif data is _READY and triggers is _READY:
            self._fire(run, node)
        elif node.index not in run.windows:
            self._open_window(run, node)

    def _open_window(self, run: PassRun, node: Node) -> None:
        """The time that the other sources have from now on. Inner joins without a window have the request's time."""
        window = node.window_ms
        if window is None:
            if run.deadline is not None and Join.OUTER not in (node.join, node.trigger_join):
                return
            window = self._join_window_ms
        if any(isinstance(run.values[slot.index], Message) for slot in node.slots):
            due = self._emitter.now + window
            run.windows[node.index] = self._timers.at(due, partial(self._end_window, run, node, window))

    def _end_window(self, run: PassRun, node: Node, window: int) -> None:
        """What has not come by now counts as never coming."""
        if self.runs.get(run.key) is run and run.status[node.index] is _WAITING:
            late = [slot.source for slot in node.slots if run.values[slot.index] is None]
            run.notes[node.index] = f"{node.title} waited {window} ms in vain for {', '.join(late)}"
            self._fill(run, node, node.slots, None)
            self._decide(run, node)
            self._settle(run)

    def _fire(self, run: PassRun, node: Node) -> None:
        try:
            message = joined([value for slot in node.data if isinstance(value := run.values[slot.index], Message)])
            if node.batch is not None and node.index not in run.sent:
                run.status[node.index] = _IN_BATCH
                self._batches.add(run, node, message, run.headers)
            else:
                self._set(run, node.index, _FIRED)
                if node.index not in run.sent:
                    encoded = message.encoded(is_request=not node.is_output)
                    self._emitter.send(node, run.key, run.lane, encoded, run.headers)
        except InvalidInput as error:
            self._spoil(run, node, f"what it got: {error}")
            self._die(run, node)
            return
        if node.is_output:
            run.answered = True
        elif self._graph.echoes[node.index]:
            self._feed(run, self._graph.echoes[node.index], message)

    def _die(self, run: PassRun, node: Node) -> None:
        self._set(run, node.index, _DEAD)
        if node.is_output:
            self._answer_error(run, self._reasons(run).of(node))
        else:
            self._feed(run, self._graph.results[node.index], None)
            self._feed(run, self._graph.echoes[node.index], None)

    def _sent(self, run: PassRun, node: Node) -> None:
        if run.status[node.index] is _IN_BATCH:
            self._set(run, node.index, _FIRED)
            self._settle(run)

    def _set(self, run: PassRun, index: int, status: Status) -> None:
        run.status[index] = status
        run.open -= 1

    def _settle(self, run: PassRun) -> None:
        if run.open == 0:
            self._finish(run)

    def _answer_with_less(self, run: PassRun) -> None:
        output = self._graph.output
        if output is None or run.status[output.index] is not _WAITING or output.join is not Join.OUTER:
            return
        if self._has_data(run, output):
            self._fill(run, output, output.slots, None)
            self._decide(run, output)

    def _close(self, run: PassRun) -> None:
        for node in self._graph.nodes:
            status = run.status[node.index]
            is_read = bool(self._graph.results[node.index])
            if status is _WAITING or (status is _IN_BATCH and is_read and self._batches.drop(run, node)):
                self._set(run, node.index, _DEAD)

    def _waiting_for(self, run: PassRun) -> Sequence[str]:
        return self._reasons(run).waiting()

    def _reasons(self, run: PassRun) -> Reasons:
        return Reasons(self._topology.pipeline, self._graph, run)
