"""Requests out to Kafka, answers back from it, matched by key."""

import asyncio
import time
from typing import Any, Final

from aiokafka.errors import KafkaError

from services.pipelinegateway import record_size
from services.pipelinegateway.answers import value_of
from services.pipelinegateway.calls import Call
from services.pipelinegateway.metrics import GatewayMetrics
from services.pipelinegateway.routes import Route
from services.pipelinegateway.waiting import Match, Waiting
from shared.errors import DeadlineExceeded, Unavailable
from shared.kafka.clients import KafkaClients
from shared.kafka.reader import Record
from shared.logs import logger

_log = logger("exchange")


class CallerGone(Exception):
    """Whoever asked does not listen any more."""


class Patience:
    """Ends a wait `seconds` from now, or as soon as the caller has gone, with TimeoutError."""

    def __init__(self, seconds: float) -> None:
        self.seconds: Final = seconds
        self.deadline_ms: Final = int((time.time() + seconds) * 1000)
        """Since the epoch."""
        self.caller_gone = False
        self._timeout: Final = asyncio.timeout(seconds)
        self._waits = False

    async def __aenter__(self) -> None:
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

    def __init__(self, kafka: KafkaClients, waiting: Waiting, metrics: GatewayMetrics) -> None:
        self._kafka = kafka
        self._waiting = waiting
        self._metrics = metrics

    async def ask(self, call: Call, route: Route, value: bytes, patience: Patience) -> bytes:
        """The serialised response to a serialised request.

        Raises StepFailed when an error comes back, PayloadTooLarge, Overloaded, Unavailable or DeadlineExceeded when
        none does, and CallerGone. Afterwards nothing is left of the call.
        """
        partition = route.next_partition()
        headers = call.record(partition, route.resource.name, patience.deadline_ms)
        limit = self._kafka.config.message_max_bytes
        record_size.check(record_size.record_bytes(value, call.key, headers), limit)
        acknowledged = _Acknowledgement()
        with route:
            answer = self._waiting.open(call.key, route.answers)
            try:
                async with patience:
                    sent = await self._kafka.writer.send(route.inputs, value, call.key, partition, headers)
                    acknowledged.of(sent, answer)
                    produced = time.perf_counter()
                    record = await answer
                self._metrics.kafka_wait(time.perf_counter() - produced)
            except TimeoutError:
                raise self._given_up(call, route, patience, acknowledged.arrived) from None
            except KafkaError as error:
                raise _not_produced(error) from None
            finally:
                self._waiting.close(call.key)
        call.answered(record.headers)
        return value_of(record.value, record.headers)

    def _given_up(self, call: Call, route: Route, patience: Patience, acknowledged: bool) -> Exception:
        if patience.caller_gone:
            return CallerGone()
        waited = f"within {patience.seconds * 1000:.0f} ms (request id {call.request_id.decode(errors='replace')})"
        if not acknowledged:
            return Unavailable(f"Kafka did not take the request for {route.resource} {waited}")
        self._metrics.deadline_expired()
        return DeadlineExceeded(f"{route.resource} gave no answer {waited}")

    async def read_answers(self) -> None:
        """Hand every record to whoever waits for it, for ever. Raises Unavailable when the log is gone."""
        names = self._kafka.config.topics
        while True:
            for partition, records in (await self._kafka.reader.poll()).items():
                owner = names.split(partition.topic)
                resource = owner[1].encode() if owner else b""
                for record in records:
                    self._match(record, resource)

    def _match(self, record: Record, resource: bytes) -> None:
        if self._waiting.take(record, resource) is Match.LATE:
            self._metrics.late_answer()
            _log.debug("answer without a caller", topic=record.topic, partition=record.partition, offset=record.offset)


class _Acknowledgement:
    """The broker's word that it has a record. Without it the caller is told at once, not at its deadline."""

    def __init__(self) -> None:
        self.arrived = False

    def of(self, sent: "asyncio.Future[Any]", answer: "asyncio.Future[Record]") -> None:
        def done(acknowledgement: "asyncio.Future[Any]") -> None:
            if acknowledgement.cancelled():
                return
            error = acknowledgement.exception()
            self.arrived = error is None
            if error is not None and not answer.done():
                answer.set_exception(_not_produced(error))

        sent.add_done_callback(done)


def _not_produced(error: BaseException) -> Unavailable:
    return Unavailable(f"Kafka did not take the request: {error!r}")
