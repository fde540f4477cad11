"""The state of one pipeline version: which requests are under way and what each of them waits for."""

from collections.abc import Mapping, Sequence
from typing import Final

from services.dataflow.core import batch_header
from services.dataflow.core.batch_header import Share
from services.dataflow.core.emitter import VISIT, Emitter, Failure, partition_of
from services.dataflow.core.graph import Feed
from services.dataflow.core.loops import Loops
from services.dataflow.core.merging import split
from services.dataflow.core.messages import parse
from services.dataflow.core.records import Arrival, Emission, Outcome, Place, Problem
from services.dataflow.core.request import RecordShare, SharedPlace
from services.dataflow.core.single_pass import SinglePass
from services.dataflow.core.timers import Timers
from services.dataflow.core.topology import Topology
from services.dataflow.core.valve import Load
from shared.errors import Code, InvalidInput
from shared.kafka.headers import BATCH, ERROR, ERROR_CODE, PIPELINE, X_PREFIX, Headers, values

__all__ = ["Arrival", "Emission", "Flow", "Outcome", "Place", "Problem"]

DEFAULT_JOIN_WINDOW_MS: Final = 60_000
_MARKS_KEPT_MS: Final = 600_000
"""From the first record on: by then, what was emitted before a restart belongs to requests that are long finished."""


class Flow:
    """Pure: time comes in as milliseconds since the epoch, records as arguments, results as return values."""

    def __init__(
        self, topology: Topology, partitions: Mapping[str, int], join_window_ms: int = DEFAULT_JOIN_WINDOW_MS
    ) -> None:
        """`partitions` of every sink. Raises InvalidInput when one is missing."""
        self._topology = topology
        self._own = topology.pipeline.encode()
        self._emitter = Emitter(topology, partitions)
        self._timers = Timers()
        stage = Loops if topology.main.recurring else SinglePass
        self._main: Loops | SinglePass = stage(topology, topology.main, self._emitter, self._timers, join_window_ms)
        self._intake = (
            SinglePass(topology, topology.intake, self._emitter, self._timers, join_window_ms)
            if topology.intake is not None
            else None
        )
        self._steps = {
            slots[0].topic: index for index, feed in enumerate(topology.main.results) for _, slots in feed[:1]
        }
        """By topic: the step whose model writes there."""
        self._has_marks = False
        self._marks_end: int | None = None

    def receive(self, arrivals: Sequence[Arrival], now_ms: int) -> Outcome:
        """What follows from these records, in their order. Bad content becomes a problem, never an exception."""
        outcome = self._emitter.begin(now_ms)
        for arrival in arrivals:
            try:
                self._take(arrival)
            except Exception as error:
                self._break_off(arrival, error)
        if self._has_marks:
            self._forget_marks(now_ms)
        return outcome

    def emitted_before(self, topic: str, key: bytes | None, headers: Headers) -> None:
        """Recovery, before records are read again: an earlier run of this version wrote this record to a sink."""
        if key is None:
            return
        self._has_marks = True
        stage = self._intake if topic == self._topology.input_topic else self._main
        is_error = any(name == ERROR for name, _ in headers)
        try:
            shares = _shares(dict(headers))
        except InvalidInput:
            shares = []
        if stage is not None:
            for share in shares or [Share(key, 0)]:
                stage.mark(topic, share.key)
                if topic == self._topology.output_topic and is_error:
                    stage.mark(ERROR, share.key)

    def due(self) -> int | None:
        """When `tick` has something to do, in milliseconds since the epoch."""
        return self._timers.due()

    def tick(self, now_ms: int) -> Outcome:
        """What follows from time: deadlines, join windows and batch windows that have passed."""
        outcome = self._emitter.begin(now_ms)
        self._timers.run(now_ms)
        return outcome

    @property
    def load(self) -> Load:
        """Without what waits to enter: that waits for records from outside, so holding these back would not end it."""
        return self._main.load

    @property
    def in_flight(self) -> int:
        """Requests that are not finished."""
        return len(self._main.requests) + (len(self._intake.requests) if self._intake else 0)

    def _forget_marks(self, now_ms: int) -> None:
        if self._marks_end is None:
            self._marks_end = now_ms + _MARKS_KEPT_MS
        elif now_ms > self._marks_end:
            self._has_marks, self._marks_end = False, None
            self._main.forget_marks()
            if self._intake is not None:
                self._intake.forget_marks()

    def _take(self, arrival: Arrival) -> None:
        topic = arrival.topic
        if arrival.key is None:
            place = f"{topic} partition {arrival.partition} offset {arrival.offset}"
            self._problem("no_key", f"the record on {place} has no key: give every request its own", arrival)
            self._finish(arrival)
            return
        headers = dict(arrival.headers)
        if topic == self._topology.error_topic:
            self._take_error(arrival, arrival.key, headers)
            return
        if topic == self._topology.input_topic:
            feed = self._topology.main.feeds.get((self._topology.pipeline, topic), ())
            self._enter(self._main, arrival, arrival.key, topic, feed, is_failed=False)
            return
        step = self._steps.get(topic)
        if step is not None and (headers.get(PIPELINE) == self._own or (PIPELINE, self._own) in arrival.headers):
            self._take_answer(arrival, arrival.key, headers, step)
            return
        if self._intake is not None and self._topology.intake is not None:
            for value in values(arrival.headers, PIPELINE):
                name = value.decode(errors="replace")
                feed = self._topology.intake.feeds.get((name, topic), ())
                if feed:
                    source = f"{topic} of {name}"
                    self._enter(self._intake, arrival, arrival.key, source, feed, is_failed=ERROR in headers)
                    return
        self._finish(arrival)

    def _enter(
        self, stage: Loops | SinglePass, arrival: Arrival, key: bytes, source: str, feed: Feed, *, is_failed: bool
    ) -> None:
        record = RecordShare(_place(arrival), arrival.headers, None, len(arrival.value or b""))
        fingerprint = hash(arrival.value)
        message = None
        if not is_failed:
            try:
                message = parse(arrival.value, is_request=arrival.topic.endswith(".inputs"))
                if not self._topology.asks_for_outputs:
                    message.requested = ()
            except InvalidInput as error:
                self._problem("unparsable", f"{_described(arrival)}: {error}", arrival)
                stage.refused(key, record, source, fingerprint, f"its input is unreadable: {error}")
                return
        stage.entered(key, record, source, fingerprint, feed, message)

    def _take_answer(self, arrival: Arrival, key: bytes, headers: Mapping[str, bytes], step: int) -> None:
        if ERROR in headers:
            self._fail(arrival, key, headers, step)
            return
        shares = self._shares(arrival, headers) if BATCH in headers else ()
        try:
            message = parse(arrival.value, is_request=False)
            if not shares:
                self._main.answered(key, _record_share(arrival, headers), step, message)
                return
            pieces = split(message, [share.rows for share in shares])
        except InvalidInput as error:
            self._problem("unparsable", f"{_described(arrival)}: {error}", arrival)
            name = self._topology.main.nodes[step].name
            failure = Failure(name, f"its answer is unreadable: {error}".encode())
            for member, record in self._records(arrival, key, headers, shares):
                self._main.failed(member, record, step, failure)
            return
        for (member, record), piece in zip(self._records(arrival, key, headers, shares), pieces, strict=True):
            self._main.answered(member, record, step, piece)

    def _take_error(self, arrival: Arrival, key: bytes, headers: Mapping[str, bytes]) -> None:
        name = headers.get(ERROR, b"").decode(errors="replace")
        step = self._topology.steps.get(name)
        if step is not None:
            self._fail(arrival, key, headers, step)
        elif name == self._topology.pipeline:
            record = _record_share(arrival, headers)
            self._main.given_up(key, record, Failure(name, arrival.value or b"", headers.get(ERROR_CODE)))
        else:
            sentence = f"{_described(arrival)} names {name or 'nobody'} in {ERROR}, which is no step of this pipeline"
            self._problem("unknown_step", sentence, arrival)
            self._finish(arrival)

    def _fail(self, arrival: Arrival, key: bytes, headers: Mapping[str, bytes], step: int) -> None:
        name = headers[ERROR].decode(errors="replace")
        failure = Failure(name, arrival.value or b"", headers.get(ERROR_CODE))
        for member, record in self._records(arrival, key, headers, self._shares(arrival, headers)):
            self._main.failed(member, record, step, failure)

    def _shares(self, arrival: Arrival, headers: Mapping[str, bytes]) -> list[Share]:
        try:
            return _shares(headers)
        except InvalidInput as error:
            self._problem("batch_header", f"{_described(arrival)}: {error}", arrival)
            return []

    def _records(
        self, arrival: Arrival, key: bytes, headers: Mapping[str, bytes], shares: Sequence[Share]
    ) -> list[tuple[bytes, RecordShare]]:
        """The requests that a record concerns, each with its part of it."""
        if not shares:
            return [(key, _record_share(arrival, headers))]
        # The record has the headers of the last member; the others get what the model added to them.
        before = self._main.headers_of(key)
        added = [header for header in arrival.headers if header[0].startswith(X_PREFIX) and header not in before]
        shared = SharedPlace(_place(arrival), len(shares))
        size = len(arrival.value or b"") // len(shares)
        loops = bool(self._topology.main.recurring)
        visits = (share.visit if loops else None for share in shares)
        return [
            (share.key, RecordShare(shared, added if before else (), visit, size))
            for share, visit in zip(shares, visits, strict=True)
        ]

    def _break_off(self, arrival: Arrival, error: Exception) -> None:
        """Taking this record raised what should not be raised: its requests fail, and nothing else does."""
        try:
            keys = [share.key for share in _shares(dict(arrival.headers))]
        except Exception:
            keys = []
        broken = False
        for key in keys or [arrival.key or b""]:
            for stage in (self._main, self._intake):
                if stage is not None and (broken := stage.break_off_with(key, error)):
                    break
        if not broken:
            reason = f"internal error: {type(error).__name__}: {error}"
            sentence = f"pipeline {self._topology.pipeline}: {_described(arrival)}: {reason}"
            self._emitter.problem("internal", sentence, arrival.headers, error)
            if arrival.topic == self._topology.input_topic and arrival.key is not None:
                # It had not become a request yet.
                failure = Failure(self._topology.pipeline, reason.encode(), Code.INTERNAL.name.encode())
                place = self._topology.output_topic, arrival.key, partition_of(arrival.key)
                self._emitter.send_error(*place, arrival.headers, failure)
        if _place(arrival) not in self._emitter.outcome.finished:
            self._finish(arrival)

    def _problem(self, kind: str, sentence: str, arrival: Arrival) -> None:
        self._emitter.problem(kind, f"pipeline {self._topology.pipeline}: {sentence}", arrival.headers)

    def _finish(self, arrival: Arrival) -> None:
        self._emitter.outcome.finished.append(_place(arrival))


def _shares(headers: Mapping[str, bytes]) -> list[Share]:
    value = headers.get(BATCH)
    return [] if value is None else batch_header.decode(value)


def _place(arrival: Arrival) -> Place:
    return Place(arrival.topic, arrival.partition, arrival.offset)


def _record_share(arrival: Arrival, headers: Mapping[str, bytes]) -> RecordShare:
    visit = headers.get(VISIT)
    number = int(visit[:18]) if visit is not None and visit.isdigit() else None
    return RecordShare(_place(arrival), arrival.headers, number, len(arrival.value or b""))


def _described(arrival: Arrival) -> str:
    return f"the record on {arrival.topic} partition {arrival.partition} offset {arrival.offset}"
