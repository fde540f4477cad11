"""Requests in a graph without cycles: every node fires at most once, or is known never to."""

from collections.abc import Mapping, Sequence
from functools import partial

from services.dataflow.core.graph import Feed, Join, Node, Slot
from services.dataflow.core.joining import ABSENT, Verdict, verdict
from services.dataflow.core.messages import Message, joined
from services.dataflow.core.pass_request import PassRequest, Status
from services.dataflow.core.reasons import Reasons
from services.dataflow.core.request import RecordShare
from services.dataflow.core.stage import Stage
from shared.errors import InvalidInput
from shared.kafka.headers import ERROR

_WAITING, _IN_BATCH, _FIRED, _DEAD = Status
_READY, _DEAD_END = Verdict.READY, Verdict.DEAD


class SinglePass(Stage[PassRequest]):
    def _new_run(self, key: bytes) -> PassRequest:
        return PassRequest(key, len(self._graph.nodes), self._graph.slots)

    def _recall(self, request: PassRequest, marks: Mapping[str, int]) -> None:
        request.answered = self._topology.output_topic in marks
        request.sent = {node.index for node in self._graph.nodes if node.sink in marks}
        self._conclude(request.sent, is_failed=ERROR in marks)
        # Readers of what a step got need it once more, unless all of them have been through as well.
        done: set[int] = set()
        while more := {
            index
            for index in request.sent - done
            if all(reader.index in done for reader, _ in self._graph.echoes[index])
        }:
            done |= more
        for index in done:
            self._set(request, index, _FIRED)

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

    def _take_root(self, request: PassRequest, feed: Feed, message: Message | None) -> None:
        self._feed(request, feed, message)

    def _take_result(self, request: PassRequest, share: RecordShare, step: int, message: Message) -> None:
        self._feed(request, self._graph.results[step], message)

    def _take_failure(self, request: PassRequest, share: RecordShare, step: int) -> None:
        self._feed(request, self._graph.results[step], None)

    def _feed(self, request: PassRequest, feed: Feed, message: Message | None) -> None:
        """Without a message, its readers get nothing, ever."""
        status = request.status
        touched = []
        for node, slots in feed:
            if status[node.index] is _WAITING and self._fill(request, node, slots, message):
                touched.append(node)
        for node in touched:
            if status[node.index] is _WAITING:
                self._decide(request, node)

    def _fill(self, request: PassRequest, node: Node, slots: Sequence[Slot], message: Message | None) -> bool:
        """Whether anything was new."""
        values = request.values
        if node.keeps_first and self._has_data(request, node):
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
                self._spoil(request, node, f"{slot.source}: {error}")
        return is_new

    def _spoil(self, request: PassRequest, node: Node, sentence: str) -> None:
        request.notes[node.index] = f"{node.title} cannot use {sentence}"
        self._emitter.problem("invalid_tensors", request.notes[node.index], request.headers)

    def _has_data(self, request: PassRequest, node: Node) -> bool:
        return any(isinstance(request.values[slot.index], Message) for slot in node.data)

    def _decide(self, request: PassRequest, node: Node) -> None:
        if node.only_slot is not None:
            if request.values[node.only_slot.index] is ABSENT:
                self._die(request, node)
            else:
                self._fire(request, node)
            return
        data = verdict(node.join, node.data, request.values)
        triggers = verdict(node.trigger_join, node.triggers, request.values) if node.triggers else _READY
        if data is _DEAD_END or triggers is _DEAD_END:
            self._die(request, node)
        elif data is _READY and triggers is _READY:
            self._fire(request, node)
        elif node.index not in request.windows:
            self._open_window(request, node)

    def _open_window(self, request: PassRequest, node: Node) -> None:
        """The time that the other sources have from now on. Inner joins without a window have the request's time."""
        window = node.window_ms
        if window is None:
            if request.deadline is not None and Join.OUTER not in (node.join, node.trigger_join):
                return
            window = self._join_window_ms
        if any(isinstance(request.values[slot.index], Message) for slot in node.slots):
            due = self._emitter.now + window
            request.windows[node.index] = self._at(due, request, partial(self._end_window, node, window))

    def _end_window(self, node: Node, window: int, request: PassRequest) -> None:
        """What has not come by now counts as never coming."""
        if self.requests.get(request.key) is request and request.status[node.index] is _WAITING:
            late = [slot.source for slot in node.slots if request.values[slot.index] is None]
            request.notes[node.index] = f"{node.title} waited {window} ms in vain for {', '.join(late)}"
            self._fill(request, node, node.slots, None)
            self._decide(request, node)
            self._settle(request)

    def _fire(self, request: PassRequest, node: Node) -> None:
        try:
            message = joined([value for slot in node.data if isinstance(value := request.values[slot.index], Message)])
            if node.batch is not None and node.index not in request.sent:
                request.status[node.index] = _IN_BATCH
                self._batches.add(request, node, message, request.headers)
            else:
                self._set(request, node.index, _FIRED)
                if node.index not in request.sent:
                    encoded = message.encoded(is_request=not node.is_output)
                    self._emitter.send(node, request.key, request.partition, encoded, request.headers)
        except InvalidInput as error:
            self._spoil(request, node, f"what it got: {error}")
            self._die(request, node)
            return
        if node.is_output:
            request.answered = True
        elif self._graph.echoes[node.index]:
            self._feed(request, self._graph.echoes[node.index], message)

    def _die(self, request: PassRequest, node: Node) -> None:
        self._set(request, node.index, _DEAD)
        if node.is_output:
            self._answer_error(request, self._reasons(request).of(node))
        else:
            self._feed(request, self._graph.results[node.index], None)
            self._feed(request, self._graph.echoes[node.index], None)

    def _sent(self, request: PassRequest, node: Node) -> None:
        if request.status[node.index] is _IN_BATCH:
            self._set(request, node.index, _FIRED)
            self._settle(request)

    def _set(self, request: PassRequest, index: int, status: Status) -> None:
        request.status[index] = status
        request.open -= 1

    def _settle(self, request: PassRequest) -> None:
        if request.open == 0:
            self._finish(request)

    def _answer_with_less(self, request: PassRequest) -> None:
        output = self._graph.output
        if output is None or request.status[output.index] is not _WAITING or output.join is not Join.OUTER:
            return
        if self._has_data(request, output):
            self._fill(request, output, output.slots, None)
            self._decide(request, output)

    def _close(self, request: PassRequest) -> None:
        for node in self._graph.nodes:
            status = request.status[node.index]
            is_read = bool(self._graph.results[node.index])
            if status is _WAITING or (status is _IN_BATCH and is_read and self._batches.drop(request, node)):
                self._set(request, node.index, _DEAD)

    def _waiting_for(self, request: PassRequest) -> Sequence[str]:
        return self._reasons(request).waiting()

    def _reasons(self, request: PassRequest) -> Reasons:
        return Reasons(self._topology.pipeline, self._graph, request)
