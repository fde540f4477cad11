"""One call of a client, from its arrival to its answer."""

import time
from collections.abc import Iterable
from typing import Final

from services.pipelinegateway.core.passed_headers import HEADER_KEY, Header, for_record, for_reply
from shared.kafka import headers as kafka
from shared.kafka.names import record_key
from shared.tracing.context import NAMES, trace_id
from shared.tracing.spans import NO_SPAN, Span
from shared.xid import key_id


class Call:
    """What goes on the record and what comes back to the client beside the answer itself.

    `received` are the client's headers with lower-case names; `own_id` is unique, the client's own id need not be.
    """

    def __init__(self, own_id: str, received: Iterable[Header], client_id: bytes | None) -> None:
        self.started: Final = time.perf_counter()
        self.own_id: Final = own_id
        self.request_id: Final = client_id or own_id.encode()
        self.key = b""
        self.resource = ""
        """Name of the resource, once it is known to exist; what clients make up is no label of a metric."""
        self.span: Span = NO_SPAN
        """The call itself, where it is traced."""
        self._sent: Final = for_record(received)
        self._reply: list[Header] = []

    def record(self, partition: int, name: str, deadline_ms: int | None) -> list[Header]:
        """Headers of the record; from now on replies name its key. Without a deadline nobody waits for an answer."""
        self.key = record_key(partition, name, key_id(self.request_id, self.own_id))
        deadline = [] if deadline_ms is None else [(kafka.DEADLINE, str(deadline_ms).encode())]
        return [*self._sent, (kafka.REQUEST_ID, self.request_id), (kafka.PIPELINE, name.encode()), *deadline]

    def trace_headers(self) -> dict[str, str]:
        """For what this gateway asks others because of the call."""
        carried = self.span.carried_by([header for header in self._sent if header[0] in NAMES])
        return {name: value.decode("latin-1") for name, value in carried}

    @property
    def in_log(self) -> dict[str, str]:
        """Which request a log line is about."""
        return {
            "request_id": self.request_id.decode(errors="replace"),
            "trace_id": trace_id(self.span.carried_by(self._sent)),
        }

    def answered(self, headers: kafka.Headers) -> None:
        self._reply = for_reply(headers)

    @property
    def reply_headers(self) -> list[Header]:
        key = [(HEADER_KEY, self.key)] if self.key else []
        return [(kafka.REQUEST_ID, self.request_id), *key, *self._reply]

    @property
    def seconds(self) -> float:
        """Since its arrival."""
        return time.perf_counter() - self.started
