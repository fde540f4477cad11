"""What becomes of a record that Kafka does not take however often it is tried: an error for each of its requests."""

from collections.abc import Sequence
from typing import Final

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError

from services.dataflow.core import batch_header
from services.dataflow.core.records import Emission
from services.dataflow.core.topology import Topology
from shared.errors import InvalidInput
from shared.kafka import headers

_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError)
_KEPT: Final = frozenset(
    (headers.PIPELINE, headers.PIPELINE_VERSION, headers.REQUEST_ID, headers.DEADLINE, "traceparent", "tracestate")
)
"""Others may be what makes the record too large."""


def is_too_large(error: Exception) -> bool:
    return isinstance(error, _TOO_LARGE)


def error_records(topology: Topology, emission: Emission, error: Exception, reason: str) -> list[Emission]:
    """One for each request in the record.

    On the errors topic, from which the pipeline's flow learns that the request has ended; an answer or an error that
    was refused belongs to a request that the flow has ended, so its error goes to the caller.
    """
    code = b"RESOURCE_EXHAUSTED" if is_too_large(error) else b"INTERNAL"
    marks = [(headers.ERROR, topology.pipeline.encode()), (headers.ERROR_CODE, code)]
    kept = [header for header in emission.headers if header[0] in _KEPT] + marks
    ended = emission.topic in (topology.output_topic, topology.error_topic)
    topic = topology.output_topic if ended else topology.error_topic
    return [Emission(topic, emission.partition, key, reason.encode(), kept) for key in _keys(emission)]


def _keys(emission: Emission) -> Sequence[bytes]:
    shares = headers.first(emission.headers, headers.BATCH)
    try:
        return [share.key for share in batch_header.decode(shares)] if shares is not None else [emission.key]
    except InvalidInput:
        return [emission.key]
