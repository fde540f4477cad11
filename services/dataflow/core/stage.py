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
from services.dataflow.core.run import Part, Run, SharedPlace
from services.dataflow.core.timers import Timers
from services.dataflow.core.topology import Topology
from shared.errors import Code
from shared.kafka.headers import DEADLINE, Headers, first

R = TypeVar("R", bound=Run)

_LONGEST_MARGIN_MS: Final = 250
_MARGIN_SHARE: Final = 10
_QUIET_MS: Final = 600_000
"""A request without a deadline is given up when nothing was heard of it for so long: a model may take minutes."""
_EXPIRED: Final = Code.DEADLINE_EXCEEDED.name.encode()


class Stage(ABC, Generic[R]):
    def __init__(self, topology: Topology, graph: Graph, emitter: Emitter, timers: Timers, join_window_ms: int) -> None:
        self._topology = topology
        self._graph = graph
        self._emitter = emitter
        self._timers = timers
        self._join_window_ms = join_window_ms
        self._batches: Batches[R] = Batches(emitter, timers, join_window_ms, self._sent)
        self._finished = Finished()
        self._marks: dict[bytes, dict[str, int]] = {}
        self._is_intake = any(node.kind is Kind.INTAKE for node in graph.nodes)
        self.runs: dict[bytes, R] = {}

    def mark(self, topic: str, key: bytes) -> None:
        """An earlier run of this version emitted this; for an error answer, `headers.ERROR` is marked too."""
        marks = self._marks.setdefault(key, {})
        marks[topic] = marks.get(topic, 0) + 1

    def forget_marks(self) -> None:
        self._marks.clear()

    def entered(
        self, key: bytes, part: Part, source: str, fingerprint: int, feed: Feed, message: Message | None
    ) -> None:
        """A record from outside the graph; without a message, nothing comes from there."""
        run = self._begun(key, part, source, fingerprint)
        if run is None:
            return
        if run.deadline is not None and run.deadline <= self._emitter.now:
            self._expire(run)
            return
        self._take_root(run, feed, message)
        held, run.held = run.held, []
        for action in held:
            action()
        self._settle(run)

    def refused(self, key: bytes, part: Part, source: str, fingerprint: int, reason: str) -> None:
        """What came from outside the graph is of no use."""
        run = self._begun(key, part, source, fingerprint)
        if run is not None:
            self._give_up(run, self._failure(reason))

    def answered(self, key: bytes, part: Part, step: int, message: Message) -> None:
        """A model's answer, or this request's share of it."""
        run = self.runs.get(key)
        if run is None or not run.roots:
            self._later(key, part, lambda run: self._take_result(run, part, step, message))
            return
        # As `_later` does, for nearly every record there is.
        self._add_place(run, part)
        self._note(run, part)
        self._take_result(run, part, step, message)
        self._settle(run)

    def failed(self, key: bytes, part: Part, step: int, failure: Failure) -> None:
        """What a model said instead of an answer."""

        def take(run: R) -> None:
            run.failures[step] = failure
            self._take_failure(run, part, step)
            if self._graph.output is None:
                self._answer_error(run, failure)

        self._later(key, part, take)

    def given_up(self, key: bytes, part: Part, failure: Failure) -> None:
        """The request as a whole failed, as was found out before."""
        self._later(key, part, lambda run: self._give_up(run, failure))

    def headers_of(self, key: bytes) -> Headers:
        """Of the newest record of a request that is under way."""
        run = self.runs.get(key)
        return run.headers if run else ()

    @abstractmethod
    def _new_run(self, key: bytes) -> R: ...

    @abstractmethod
    def _recall(self, run: R, marks: Mapping[str, int]) -> None:
        """What was emitted for this request before counts as emitted."""

    @abstractmethod
    def _take_root(self, run: R, feed: Feed, message: Message | None) -> None: ...

    @abstractmethod
    def _take_result(self, run: R, part: Part, step: int, message: Message) -> None: ...

    @abstractmethod
    def _take_failure(self, run: R, part: Part, step: int) -> None: ...

    @abstractmethod
    def _sent(self, run: R, node: Node) -> None:
        """The batch that this node of the request had fired into was emitted."""

    @abstractmethod
    def _settle(self, run: R) -> None:
        """Finish the request if nothing more can come of it."""

    @abstractmethod
    def _waiting_for(self, run: R) -> Sequence[str]:
        """What the answer needs and has not come."""

    @abstractmethod
    def _close(self, run: R) -> None:
        """Time is up: let go what still waits, but for a batch that is to be fed for its own sake."""

    @abstractmethod
    def _answer_with_less(self, run: R) -> None:
        """Time is up: if the output can do with what has come, let it."""

    def _begun(self, key: bytes, part: Part, source: str, fingerprint: int) -> R | None:
        """The request that this record begins or adds to; None when it has it already."""
        if key in self._finished and not self._finished.reused(key, source, fingerprint):
            self._done(part.place)
            return None
        run = self._run_with(key, part)
        if source in run.roots:
            if differs(run.roots, source, fingerprint):
                name = key.decode(errors="replace")
                sentence = f"a record on {source} has the key {name} of a request under way"
                self._emitter.problem("key_in_use", sentence, part.headers)
            return None
        is_first = not run.roots
        run.roots += (source, fingerprint)
        self._note(run, part)
        if is_first:
            self._arm(run)
        return run

    def _later(self, key: bytes, part: Part, take: Callable[[R], None]) -> None:
        """Take a record that belongs to a request which has begun, or will."""
        if key in self._finished:
            self._done(part.place)
            return
        run = self._run_with(key, part)
        if run.roots:
            self._apply(run, part, take)
        else:
            if run.timer is None:
                run.headers, run.seen = part.headers, self._emitter.now
                self._arm(run)
            run.held.append(partial(self._apply, run, part, take))
        self._settle(run)

    def _apply(self, run: R, part: Part, take: Callable[[R], None]) -> None:
        if self.runs.get(run.key) is run:
            self._note(run, part)
            take(run)

    def _run_with(self, key: bytes, part: Part) -> R:
        run = self.runs.get(key)
        if run is None:
            run = self.runs[key] = self._new_run(key)
            if self._marks:
                marks = self._marks.pop(key, None)
                if marks:
                    self._recall(run, marks)
        self._add_place(run, part)
        return run

    def _add_place(self, run: R, part: Part) -> None:
        if isinstance(part.place, Place):
            run.places.append(part.place)
        else:
            run.shared.append(part.place)

    def _note(self, run: R, part: Part) -> None:
        run.seen = self._emitter.now
        if isinstance(part.place, Place):
            run.headers = part.headers
        else:
            run.headers = [*run.headers, *(header for header in part.headers if header not in run.headers)]

    def _arm(self, run: R) -> None:
        """Give the request its time, as soon as something of it was seen, and anew when it begins."""
        now = self._emitter.now
        deadline = None if self._is_intake else first(run.headers, DEADLINE)
        due = now + _QUIET_MS
        if deadline is not None and deadline.isdigit():
            left = int(deadline[:18]) - now
            # The answer has a way to go, too.
            due = now + left - max(0, min(_LONGEST_MARGIN_MS, left // _MARGIN_SHARE))
            run.deadline = due
        if run.timer is not None:
            self._timers.cancel(run.timer)
        run.timer = self._timers.at(due, partial(self._expire, run))

    def _expire(self, run: R) -> None:
        if self.runs.get(run.key) is not run:
            return
        now = self._emitter.now
        if run.deadline is None and run.seen + _QUIET_MS > now:
            run.timer = self._timers.at(run.seen + _QUIET_MS, partial(self._expire, run))
            return
        if not run.roots:
            # A late record of a request that an earlier run of this version finished.
            self._finish(run)
            return
        if not run.answered:
            self._answer_with_less(run)
        if not run.answered and self._graph.output is not None:
            waiting = ", ".join(self._waiting_for(run)) or "its input"
            limit = "within the deadline" if run.deadline is not None else f"and no record for {_QUIET_MS // 1000} s"
            self._answer_error(run, self._failure(f"no answer {limit}: waiting for {waiting}", _EXPIRED))
        self._close(run)
        self._settle(run)

    def _failure(self, sentence: str, code: bytes | None = None) -> Failure:
        return Failure(self._topology.pipeline, sentence.encode(), code)

    def _answer_error(self, run: R, failure: Failure) -> None:
        if not run.answered and not self._is_intake:
            run.answered = True
            self._emitter.send_error(self._topology.output_topic, run.key, run.lane, run.headers, failure)

    def _give_up(self, run: R, failure: Failure) -> None:
        self._answer_error(run, failure)
        for node in self._graph.nodes:
            if node.batch is not None:
                self._batches.drop(run, node)
        self._finish(run)

    def _finish(self, run: R) -> None:
        if self.runs.get(run.key) is not run:
            return
        del self.runs[run.key]
        self._finished.add(run.key, run.roots)
        if run.timer is not None:
            self._timers.cancel(run.timer)
        for timer in run.windows.values():
            self._timers.cancel(timer)
        self._emitter.outcome.finished += run.places
        for shared in run.shared:
            self._done(shared)

    def _done(self, place: Place | SharedPlace) -> None:
        if isinstance(place, SharedPlace):
            place.left -= 1
            if place.left:
                return
            place = place.place
        self._emitter.outcome.finished.append(place)
