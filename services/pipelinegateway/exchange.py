"""Requests out to Kafka, answers back from it, matched by key."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.pipelinegateway.calls import Call
from services.pipelinegateway.core import record_size
from services.pipelinegateway.core.answers import value_of
from services.pipelinegateway.metrics import GatewayMetrics
from services.pipelinegateway.routes import Route
from services.pipelinegateway.spans import consumed, produce
from services.pipelinegateway.waiting import Match, Waiting
from shared.delays import exponential
from shared.errors import DeadlineExceeded, Unavailable
from shared.kafka.clients import KafkaClients
from shared.kafka.reader import Record
from shared.logs import logger
from shared.tracing.log_fields import of_request
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import Tracer

_log = logger("exchange")
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 5.0


class CallerGone(Exception):
    """Whoever asked does not listen any more."""


class Patience:
    """Ends waits, one after the other, `seconds` from now, or as soon as the caller has gone, with TimeoutError."""

    def __init__(self, seconds: float) -> None:
        self.seconds: Final = seconds
        self.deadline_ms: Final = int((time.time() + seconds) * 1000)
        """Since the epoch."""
        self.caller_gone = False
        self._end: Final = asyncio.get_running_loop().time() + seconds
        self._timeout = asyncio.timeout_at(self._end)
        self._waits = False

    async def __aenter__(self) -> None:
        self._timeout = asyncio.timeout_at(self._end)
        await self._timeout.__aenter__()
        self._waits = True
        if self.caller_gone:
            self.give_up()

    async def __aexit__(self, *exc: Any) -> None:
        self._waits = False
        await self._timeout.__aexit__(*exc)

    def give_up(self) -> None:
        """The caller has gone. Changes nothing after the wait has ended."""
        self.caller_gone = True
        if self._waits and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())


class Exchange:
    """The only user of the reader and the writer."""

    def __init__(
        self,
        kafka: KafkaClients,
        waiting: Waiting,
        metrics: GatewayMetrics,
        tracer: Tracer,
        status: Callable[[str], None],
    ) -> None:
        """`status` is told what keeps answers from being read, and an empty text when nothing does."""
        self._status = status
        self._kafka = kafka
        self._waiting = waiting
        self._metrics = metrics
        self._tracer = tracer

    async def ask(self, call: Call, route: Route, value: bytes, patience: Patience) -> bytes:
        """The serialised response to a serialised request.

        Raises StepFailed when an error comes back, PayloadTooLarge, Unavailable or DeadlineExceeded when
        none does, and CallerGone. Afterwards nothing is left of the call.
        """
        partition = route.next_partition()
        sending = _Sending(produce(self._tracer, call, route) if self._tracer.on else NO_SPAN, self._metrics)
        with sending as span, route:
            headers = span.carried_by(call.record(partition, route.resource.name, patience.deadline_ms))
            limit = self._kafka.config.message_max_bytes
            record_size.check(record_size.record_bytes(value, call.key, headers), limit)
            answer = self._waiting.open(call.key, route.answers)
            try:
                async with patience:
                    sent = await self._kafka.writer.send(route.inputs, value, call.key, partition, headers)
                    sending.sent(sent, answer)
                    produced = time.perf_counter()
                    record = await answer
                self._metrics.kafka_wait(time.perf_counter() - produced)
            except TimeoutError:
                raise self._given_up(call, route, patience, sending.acknowledged) from None
            except KafkaError as error:
                raise _not_produced(error) from None
            finally:
                self._waiting.close(call.key)
        call.answered(record.headers)
        return value_of(record.value, record.headers)

    async def hand_over(self, call: Call, route: Route, value: bytes, patience: Patience) -> None:
        """Write a request that nothing will answer. Raises PayloadTooLarge, Unavailable and CallerGone."""
        partition = route.next_partition()
        with produce(self._tracer, call, route) if self._tracer.on else NO_SPAN as span:
            headers = span.carried_by(call.record(partition, route.resource.name, None))
            limit = self._kafka.config.message_max_bytes
            record_size.check(record_size.record_bytes(value, call.key, headers), limit)
            try:
                async with patience:
                    await (await self._kafka.writer.send(route.inputs, value, call.key, partition, headers))
            except TimeoutError:
                raise self._given_up(call, route, patience, acknowledged=False) from None
            except KafkaError as error:
                raise _not_produced(error) from None

    def _given_up(self, call: Call, route: Route, patience: Patience, acknowledged: bool) -> Exception:
        if patience.caller_gone:
            return CallerGone()
        waited = f"within {patience.seconds * 1000:.0f} ms (request id {call.request_id.decode(errors='replace')})"
        if not acknowledged:
            return Unavailable(f"Kafka did not take the request for {route.resource} {waited}")
        self._metrics.deadline_expired()
        return DeadlineExceeded(f"{route.resource} gave no answer {waited}")

    async def read_answers(self) -> None:
        """Hand every record to whoever waits for it, for ever. Raises Unavailable when the log is gone.

        Whatever else keeps the reader from reading passes: those who wait go on waiting, to their deadlines.
        """
        delays = None
        while True:
            try:
                batches = await self._kafka.reader.poll()
            except KafkaError as error:
                delays = delays or exponential(_FIRST_DELAY, _LONGEST_DELAY)
                delay, reason = next(delays), str(error) or type(error).__name__
                self._status(f"kafka at {self._kafka.config.bootstrap_servers}: answers are not read: {reason}")
                _log.warning("not read", reason=reason, retry_seconds=delay)
                await asyncio.sleep(delay)
                continue
            if delays is not None:
                delays = None
                self._status("")
            self._match_all(batches)

    def _match_all(self, batches: Mapping[TopicPartition, list[Record]]) -> None:
        read_ns = time.time_ns() if self._tracer.on else 0
        for partition, records in batches.items():
            owner = self._kafka.config.topics.split(partition.topic)
            resource = owner[1].encode() if owner else b""
            for record in records:
                self._match(record, resource, read_ns)

    def _match(self, record: Record, resource: bytes, read_ns: int) -> None:
        match = self._waiting.take(record, resource)
        if match is Match.LATE:
            self._metrics.late_answer()
            _log.debug(
                "answer without a caller", topic=record.topic, offset=record.offset, **of_request(record.headers)
            )
        elif match is Match.ANSWERED and self._tracer.on:
            consumed(self._tracer, record, read_ns)


class _Sending:
    """A record on its way to the broker. When that does not take it, the caller is told at once, not at its deadline.

    `span` ends with the broker's word.
    """

    def __init__(self, span: Span, metrics: GatewayMetrics) -> None:
        self.acknowledged = False
        self._span = span
        self._metrics = metrics
        self._sent = False

    def __enter__(self) -> Span:
        return self._span

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not self._sent:
            self._end(error)

    def sent(self, sent: "asyncio.Future[Any]", answer: "asyncio.Future[Record]") -> None:
        """It waits for the broker, whose word comes with `sent`."""
        self._sent = True
        started = time.perf_counter()

        def done(acknowledgement: "asyncio.Future[Any]") -> None:
            error = asyncio.CancelledError() if acknowledgement.cancelled() else acknowledgement.exception()
            self._end(error)
            if acknowledgement.cancelled():
                return
            self.acknowledged = error is None
            if error is None:
                self._metrics.acknowledged(time.perf_counter() - started)
            if error is not None and not answer.done():
                answer.set_exception(_not_produced(error))

        sent.add_done_callback(done)

    def _end(self, error: BaseException | None) -> None:
        if self._span.recording:
            if error is not None:
                self._span.fail(str(error) or type(error).__name__)
            self._span.end()


def _not_produced(error: BaseException) -> Unavailable:
    return Unavailable(f"Kafka did not take the request: {error!r}")
