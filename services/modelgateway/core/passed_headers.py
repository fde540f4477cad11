"""Which headers travel from a record to the call, and from the reply and the record to the output."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from services.modelgateway.core.failures import Failure
from shared.kafka import headers as kafka
from shared.names import HEADER_MODEL, HEADER_ROUTE
from shared.tracing.context import NAMES

Header: TypeAlias = tuple[str, bytes]
Metadata: TypeAlias = list[tuple[str, str | bytes]]

# To Envoy these would be instructions about this call, and it writes its own.
_OF_ONE_HOP: Final = "x-envoy-"
_NAME: Final = re.compile(r"[a-z0-9_.-]+")
_TEXT: Final = re.compile(rb"[\x20-\x7e]*")
_BINARY: Final = "-bin"
JSON_RESPONSE: Final = b"json/inferModelResponse"


def for_call(record: kafka.Headers, model: str) -> Metadata:
    """gRPC metadata of the call: the record's `x-` headers and trace context, and which model is meant.

    The route of models before this one is not passed on: it would choose among this one's replicas. Values that gRPC
    does not carry are left out.
    """
    metadata: Metadata = [(HEADER_MODEL, model)]
    for header, given in record:
        # Kafka knows headers without a value, gRPC does not.
        name, value = header.lower(), given or b""
        if not (name.startswith(kafka.X_PREFIX) or name in NAMES) or name == HEADER_ROUTE:
            continue
        if name.startswith(_OF_ONE_HOP) or _NAME.fullmatch(name) is None:
            continue
        if name.endswith(_BINARY):
            metadata.append((name, value))
        elif _TEXT.fullmatch(value):
            metadata.append((name, value.decode()))
    return metadata


def of_reply(*metadata: Iterable[tuple[str, str | bytes]] | None) -> list[Header]:
    """The `x-` headers of a reply, in order."""
    return [
        (name, value.encode() if isinstance(value, str) else value)
        for entries in metadata
        for name, value in entries or ()
        if name.startswith(kafka.X_PREFIX)
    ]


def for_output(record: kafka.Headers, reply: Sequence[Header]) -> list[Header]:
    """All headers of the input, then those of the reply that are not among them yet."""
    kept = list(record)
    seen = set(kept)
    for header in reply:
        if header not in seen:
            seen.add(header)
            kept.append(header)
    return kept


def as_json(headers: Iterable[Header]) -> list[Header]:
    """Of an output in JSON, whose input was labelled as a request in JSON."""
    return [(name, JSON_RESPONSE if name == kafka.INFER_TYPE else value) for name, value in headers]


def for_error(record: kafka.Headers, model: str, failure: Failure) -> list[Header]:
    """All headers of the input, and who failed and how."""
    kept = kafka.without(record, (kafka.ERROR, kafka.ERROR_CODE))
    return [*kept, (kafka.ERROR, model.encode()), (kafka.ERROR_CODE, failure.code.encode())]


def deadline_ms(record: kafka.Headers) -> int | None:
    """Milliseconds since the epoch; None when nobody waits, or the header is no number."""
    text = kafka.first(record, kafka.DEADLINE)
    if text is None or not text.isdigit() or len(text) > 15:
        return None
    return int(text)
