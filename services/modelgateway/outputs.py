"""Outcomes on their way to Kafka: sent again until acknowledged, and turned into errors where they are refused."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiokafka.errors import (
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)

from services.modelgateway.core.failures import Failure
from services.modelgateway.core.passed_headers import Header, as_json, for_error, for_output
from services.modelgateway.inference import Reply
from services.modelgateway.metrics import GatewayMetrics
from services.modelgateway.spans import Trace
from shared.backoff import Attempts
from shared.kafka.clients import KafkaClients
from shared.kafka.reader import Record
from shared.logs import logger
from shared.tracing.log_fields import of_request

_log = logger("outputs")
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 5.0
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the outcomes of one model go, with the number of partitions of each topic."""

    model: str
    outputs: str
    output_partitions: int
    errors: str
    error_partitions: int


class Outputs:
    """`status` is told what is wrong with Kafka, and an empty text when nothing is."""

    def __init__(self, clients: KafkaClients, metrics: GatewayMetrics, status: Callable[[str], None]) -> None:
        self._clients = clients
        self._metrics = metrics
        self._status = status

    async def write(self, destination: Destination, record: Record, outcome: Reply | Failure, trace: Trace) -> None:
        """Returns when the outcome of `record` is acknowledged, or is one that Kafka will never take."""
        if isinstance(outcome, Reply):
            refusal = await self._write_reply(destination, record, outcome, trace)
            if refusal is None:
                return
            outcome = refusal
        trace.consume.fail(outcome.code)
        headers = for_error(record.headers, destination.model, outcome)
        partition = min(record.partition, destination.error_partitions - 1)
        text = outcome.text.encode(errors="replace")
        refused = await self._send(destination.model, destination.errors, text, record, partition, headers, trace)
        if refused is not None:
            reason = _sentence(refused)
            _log.error(
                "outcome lost: Kafka refuses the error",
                model=destination.model,
                reason=reason,
                **of_request(record.headers),
            )

    async def _write_reply(
        self, destination: Destination, record: Record, reply: Reply, trace: Trace
    ) -> Failure | None:
        headers = for_output(record.headers, reply.headers)
        if reply.is_json:
            headers = as_json(headers)
        partition = min(record.partition, destination.output_partitions - 1)
        topic = destination.outputs
        refused = await self._send(destination.model, topic, reply.value, record, partition, headers, trace)
        if refused is None:
            return None
        if isinstance(refused, _TOO_LARGE):
            limit = self._clients.config.message_max_bytes
            return Failure(
                "RESOURCE_EXHAUSTED",
                f"the reply of {destination.model} has {len(reply.value)} bytes, a record on {topic} may have {limit} "
                "with its headers (message.max.bytes)",
            )
        return Failure("INTERNAL", f"Kafka does not take the reply of {destination.model}: {_sentence(refused)}")

    async def _send(
        self,
        model: str,
        topic: str,
        value: bytes,
        record: Record,
        partition: int,
        headers: list[Header],
        trace: Trace,
    ) -> Exception | None:
        """None when acknowledged; an error that would come again."""
        with trace.produce(topic) as span:
            refused = await self._insist(model, topic, value, record, partition, span.carried_by(headers))
            if refused is not None:
                span.fail(_sentence(refused))
            return refused

    async def _insist(
        self, model: str, topic: str, value: bytes, record: Record, partition: int, headers: list[Header]
    ) -> Exception | None:
        failed = False
        async for attempt in Attempts(_FIRST_DELAY, _LONGEST_DELAY):
            started = time.perf_counter()
            try:
                await (await self._clients.writer.send(topic, value, record.key, partition, headers))
            except Exception as error:
                if not (getattr(error, "retriable", False) or isinstance(error, KafkaTimeoutError)):
                    self._metrics.send_failures.labels(model, "record").inc()
                    _log.warning(
                        "record refused",
                        model=model,
                        topic=topic,
                        reason=_sentence(error),
                        **of_request(record.headers),
                    )
                    return error
                failed = True
                self._metrics.send_failures.labels(model, "kafka").inc()
                self._status(f"kafka does not take records of {topic}: {_sentence(error)}")
                reason = _sentence(error)
                _log.warning(
                    "not sent",
                    model=model,
                    topic=topic,
                    reason=reason,
                    retry_seconds=attempt.delay,
                    **of_request(record.headers),
                )
            else:
                self._metrics.acknowledge_seconds.observe(time.perf_counter() - started)
                if failed:
                    self._status("")
                return None
        raise AssertionError("delays never end")


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__
