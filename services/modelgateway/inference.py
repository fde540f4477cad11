"""Inference calls through Envoy: request bytes in, reply bytes out, nothing decoded."""

import time
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio

from services.modelgateway.core.failures import Failure
from services.modelgateway.core.passed_headers import Header, Metadata, of_reply
from services.modelgateway.metrics import GatewayMetrics
from shared.backoff import Attempts
from shared.kafka.names import bucket
from shared.rpc import channel, client_options, unlimited

_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_CONNECTIONS: Final = 16
"""Models are spread over these: a connection carries a bounded number of calls, and slow models fill theirs."""
_RETRIED: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_RETRIES: Final = 5
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 10.0
_TOO_LARGE: Final = "larger than max"
"""In the words of gRPC for a message beyond its limit, which no repetition makes smaller."""


@dataclass(frozen=True, slots=True)
class Reply:
    value: bytes
    headers: list[Header]
    is_json: bool = False


class Inference:
    """Calls to Envoy at `target`; `timeout` in seconds bounds a call with all its attempts."""

    def __init__(self, target: str, timeout: float, metrics: GatewayMetrics) -> None:
        self._timeout = timeout
        self._metrics = metrics
        # Without pools of their own the channels would share one connection.
        options = unlimited([*client_options(), ("grpc.use_local_subchannel_pool", 1)])
        self._channels = [channel(target, options) for _ in range(_CONNECTIONS)]
        self._methods: list[Any] = [each.unary_unary(_METHOD) for each in self._channels]

    async def close(self) -> None:
        for each in self._channels:
            await each.close(None)

    async def infer(self, model: str, request: bytes, metadata: Metadata, deadline_ms: int | None) -> Reply | Failure:
        """`deadline_ms`, since the epoch, is when the caller stops waiting. A call that fails is no exception here."""
        seconds = self._timeout
        if deadline_ms is not None:
            seconds = min(seconds, deadline_ms / 1000 - time.time())
            if seconds <= 0:
                self._metrics.calls.labels(model, "DEADLINE_EXCEEDED").inc()
                return Failure("DEADLINE_EXCEEDED", f"the request's deadline passed before {model} was called")
        began = time.monotonic()
        outcome = await self._attempts(model, request, metadata, began + seconds)
        self._metrics.call_seconds.labels(model).observe(time.monotonic() - began)
        self._metrics.calls.labels(model, outcome.code if isinstance(outcome, Failure) else "OK").inc()
        return outcome

    async def _attempts(self, model: str, request: bytes, metadata: Metadata, end: float) -> Reply | Failure:
        infer = self._methods[bucket(model, _CONNECTIONS)]
        async for attempt in Attempts(_FIRST_DELAY, _LONGEST_DELAY, _RETRIES + 1):
            call: Any = infer(request, metadata=metadata, timeout=max(end - time.monotonic(), 0.001))
            try:
                value: bytes = await call
                return Reply(value, of_reply(await call.initial_metadata(), await call.trailing_metadata()))
            except grpc.aio.AioRpcError as error:
                failure = Failure(error.code().name, error.details() or "")
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() >= end:
                    return Failure(failure.code, f"{model} gave no answer in time")
                repeated = error.code() in _RETRIED and _TOO_LARGE not in failure.details
            if not repeated or attempt.is_last or time.monotonic() + attempt.delay >= end:
                break
            self._metrics.retries.labels(model).inc()
        return failure
