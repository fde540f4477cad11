"""The requests in one graph: their beginning, their time and their end. How nodes fire is in the subclasses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from services.dataflow.core.batching import Batches
from services.dataflow.core.emitter import Emitter, Failure
from services.dataflow.core.finished import Finished, differs
from services.dataflow.core.graph import Feed, Graph, Kind, Node
from services.dataflow.core.messages import Message
from services.dataflow.core.records import Place
from services.dataflow.core.request import RecordShare, Request, SharedPlace
from services.dataflow.core.timers import Timer, Timers
from services.dataflow.core.topology import Topology
from services.dataflow.core.valve import Load
from shared.errors import Code
from shared.kafka.headers import DEADLINE, Headers, first

R = TypeVar("R", bound=Request)

_LONGEST_MARGIN_MS: Final = 250
_MARGIN_SHARE: Final = 10
_QUIET_MS: Final = 600_000
"""A request without a deadline is given up when nothing was heard of it for so long: a model may take minutes."""
_EXPIRED: Final = Code.DEADLINE_EXCEEDED.name.encode()
_INTERNAL: Final = Code.INTERNAL.name.encode()


class Stage(ABC, Generic[R]):
    def __init__(self, topology: Topology, graph: Graph, emitter: Emitter, timers: Timers, join_window_ms: int) -> None:
        self._topology = topology
        self._graph = graph
        self._emitter = emitter
        self._timers = timers
        self._join_window_ms = join_window_ms
        self._batches: Batches[R] = Batches(emitter, timers, join_window_ms, self._sent, self.break_off)
        self._finished = Finished()
        self._marks: dict[bytes, dict[str, int]] = {}
        self._is_intake = any(node.kind is Kind.INTAKE for node in graph.nodes)
        self.requests: dict[bytes, R] = {}
        self._begun_requests = 0
        self._held_bytes = 0

    @property
    def load(self) -> Load:
        return Load(self._begun_requests, self._held_bytes)

    def mark(self, topic: str, key: bytes) -> None:
        """An earlier run of this version emitted this; for an error answer, `headers.ERROR` is marked too."""
        marks = self._marks.setdefault(key, {})
        marks[topic] = marks.get(topic, 0) + 1

    def forget_marks(self) -> None:
        self._marks.clear()

    def entered(
        self, key: bytes, share: RecordShare, source: str, fingerprint: int, feed: Feed, message: Message | None
    ) -> None:
        """A record from outside the graph; without a message, nothing comes from there."""
        request = self._begun(key, share, source, fingerprint)
        if request is None:
            return
        if request.deadline is not None and request.deadline <= self._emitter.now:
            self._expire(request)
            return
        self._take_root(request, feed, message)
        held, request.held = request.held, []
        for action in held:
            action()
        self._settle(request)

    def refused(self, key: bytes, share: RecordShare, source: str, fingerprint: int, reason: str) -> None:
        """What came from outside the graph is of no use."""
        request = self._begun(key, share, source, fingerprint)
        if request is not None:
            self._give_up(request, self._failure(reason))

    def answered(self, key: bytes, share: RecordShare, step: int, message: Message) -> None:
        """A model's answer, or this request's share of it."""
        request = self.requests.get(key)
        if request is None or not request.roots:
            self._later(key, share, lambda request: self._take_result(request, share, step, message))
            return
        # As `_later` does, for nearly every record there is.
        self._add_place(request, share)
        self._note(request, share)
        self._take_result(request, share, step, message)
        self._settle(request)

    def failed(self, key: bytes, share: RecordShare, step: int, failure: Failure) -> None:
        """What a model said instead of an answer."""

        def take(request: R) -> None:
            request.failures[step] = failure
            self._take_failure(request, share, step)
            if self._graph.output is None:
                self._answer_error(request, failure)

        self._later(key, share, take)

    def given_up(self, key: bytes, share: RecordShare, failure: Failure) -> None:
        """The request as a whole failed, as was found out before."""
        self._later(key, share, lambda request: self._give_up(request, failure))

    def break_off_with(self, key: bytes, error: Exception) -> bool:
        """The same for a request under this key, if there is one."""
        request = self.requests.get(key)
        if request is not None:
            self.break_off(request, error)
        return request is not None

    def break_off(self, request: R, error: Exception) -> None:
        """Something unforeseen was raised: whoever waits is told, and no other request suffers."""
        sentence = f"internal error: {type(error).__name__}: {error}"
        name = request.key.decode(errors="replace")
        self._emitter.problem("internal", f"request {name}: {sentence}", request.headers, error)
        self._give_up(request, self._failure(sentence, _INTERNAL))

    def headers_of(self, key: bytes) -> Headers:
        """Of the newest record of a request that is under way."""
        request = self.requests.get(key)
        return request.headers if request else ()

    @abstractmethod
    def _new_run(self, key: bytes) -> R: ...

    @abstractmethod
    def _recall(self, request: R, marks: Mapping[str, int]) -> None:
        """What was emitted for this request before counts as emitted."""

    @abstractmethod
    def _take_root(self, request: R, feed: Feed, message: Message | None) -> None: ...

    @abstractmethod
    def _take_result(self, request: R, share: RecordShare, step: int, message: Message) -> None: ...

    @abstractmethod
    def _take_failure(self, request: R, share: RecordShare, step: int) -> None: ...

    @abstractmethod
    def _sent(self, request: R, node: Node) -> None:
        """The batch that this node of the request had fired into was emitted."""

    @abstractmethod
    def _settle(self, request: R) -> None:
        """Finish the request if nothing more can come of it."""

    @abstractmethod
    def _waiting_for(self, request: R) -> Sequence[str]:
        """What the answer needs and has not come."""

    @abstractmethod
    def _close(self, request: R) -> None:
        """Time is up: let go what still waits, but for a batch that is to be fed for its own sake."""

    @abstractmethod
    def _answer_with_less(self, request: R) -> None:
        """Time is up: if the output can do with what has come, let it."""

    def _begun(self, key: bytes, share: RecordShare, source: str, fingerprint: int) -> R | None:
        """The request that this record begins or adds to; None when it has it already."""
        if key in self._finished and not self._finished.reused(key, source, fingerprint):
            self._done(share.place)
            return None
        request = self._request_with(key, share)
        if source in request.roots:
            if differs(request.roots, source, fingerprint):
                name = key.decode(errors="replace")
                sentence = f"a record on {source} has the key {name} of a request under way"
                self._emitter.problem("key_in_use", sentence, share.headers)
            return None
        is_first = not request.roots
        if is_first:
            self._begun_requests += 1
            self._held_bytes += request.size
        request.roots += (source, fingerprint)
        self._note(request, share)
        if is_first:
            self._arm(request)
        return request

    def _later(self, key: bytes, share: RecordShare, take: Callable[[R], None]) -> None:
        """Take a record that belongs to a request which has begun, or will."""
        if key in self._finished:
            self._done(share.place)
            return
        request = self._request_with(key, share)
        if request.roots:
            self._apply(request, share, take)
        else:
            if request.timer is None:
                request.headers, request.seen = share.headers, self._emitter.now
                self._arm(request)
            request.held.append(partial(self._apply, request, share, take))
        self._settle(request)

    def _apply(self, request: R, share: RecordShare, take: Callable[[R], None]) -> None:
        if self.requests.get(request.key) is request:
            self._note(request, share)
            take(request)

    def _request_with(self, key: bytes, share: RecordShare) -> R:
        request = self.requests.get(key)
        if request is None:
            request = self.requests[key] = self._new_run(key)
            if self._marks:
                marks = self._marks.pop(key, None)
                if marks:
                    self._recall(request, marks)
        self._add_place(request, share)
        return request

    def _add_place(self, request: R, share: RecordShare) -> None:
        request.size += share.size
        if request.roots:
            self._held_bytes += share.size
        if isinstance(share.place, Place):
            request.places.append(share.place)
        else:
            request.shared.append(share.place)

    def _note(self, request: R, share: RecordShare) -> None:
        request.seen = self._emitter.now
        if isinstance(share.place, Place):
            request.headers = share.headers
        else:
            request.headers = [*request.headers, *(header for header in share.headers if header not in request.headers)]

    def _arm(self, request: R) -> None:
        """Give the request its time, as soon as something of it was seen, and anew when it begins."""
        now = self._emitter.now
        deadline = None if self._is_intake else first(request.headers, DEADLINE)
        due = now + _QUIET_MS
        if deadline is not None and deadline.isdigit():
            left = int(deadline[:18]) - now
            # The answer has a way to go, too.
            due = now + left - max(0, min(_LONGEST_MARGIN_MS, left // _MARGIN_SHARE))
            request.deadline = due
        if request.timer is not None:
            self._timers.cancel(request.timer)
        request.timer = self._at(due, request, self._expire)

    def _at(self, due: int, request: R, action: Callable[[R], None]) -> Timer:
        return self._timers.at(due, partial(self._in_time, request, action))

    def _in_time(self, request: R, action: Callable[[R], None]) -> None:
        try:
            action(request)
        except Exception as error:
            self.break_off(request, error)

    def _expire(self, request: R) -> None:
        if self.requests.get(request.key) is not request:
            return
        now = self._emitter.now
        if request.deadline is None and request.seen + _QUIET_MS > now:
            request.timer = self._at(request.seen + _QUIET_MS, request, self._expire)
            return
        if not request.roots:
            # A late record of a request that an earlier run of this version finished.
            self._finish(request)
            return
        if not request.answered:
            self._answer_with_less(request)
        if not request.answered and self._graph.output is not None:
            waiting = ", ".join(self._waiting_for(request)) or "its input"
            limit = (
                "within the deadline" if request.deadline is not None else f"and no record for {_QUIET_MS // 1000} s"
            )
            self._answer_error(request, self._failure(f"no answer {limit}: waiting for {waiting}", _EXPIRED))
        self._close(request)
        self._settle(request)

    def _failure(self, sentence: str, code: bytes | None = None) -> Failure:
        return Failure(self._topology.pipeline, sentence.encode(), code)

    def _answer_error(self, request: R, failure: Failure) -> None:
        if not request.answered and not self._is_intake:
            request.answered = True
            self._emitter.send_error(
                self._topology.output_topic, request.key, request.partition, request.headers, failure
            )

    def _give_up(self, request: R, failure: Failure) -> None:
        self._answer_error(request, failure)
        for node in self._graph.nodes:
            if node.batch is not None:
                self._batches.drop(request, node)
        self._finish(request)

    def _finish(self, request: R) -> None:
        if self.requests.get(request.key) is not request:
            return
        del self.requests[request.key]
        if request.roots:
            self._begun_requests -= 1
            self._held_bytes -= request.size
        self._finished.add(request.key, request.roots)
        if request.timer is not None:
            self._timers.cancel(request.timer)
        for timer in request.windows.values():
            self._timers.cancel(timer)
        self._emitter.outcome.finished += request.places
        for shared in request.shared:
            self._done(shared)

    def _done(self, place: Place | SharedPlace) -> None:
        if isinstance(place, SharedPlace):
            place.left -= 1
            if place.left:
                return
            place = place.place
        self._emitter.outcome.finished.append(place)
