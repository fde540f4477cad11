"""The agent's Prometheus metrics under their documented names."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Gauge,
    Metric,
    PlatformCollector,
    ProcessCollector,
)

from services.agent.core.inference_counts import (
    BOUNDS,
    BUCKET,
    INFINITE,
    SECONDS,
    SUM,
    TOTAL,
    Counts,
    OwnCounts,
    added,
    bound_text,
)
from services.agent.metrics.envoy_stats import EnvoyStats
from services.agent.metrics.exposition import Sample, counter, encoded, histogram
from shared.asgi import Receive, Scope, Send, respond

_LABELS: Final = ("server", "server_replica")
_OF_CALL: Final = ("model", "model_internal", "method_type", "code")
_METHOD_TYPE: Final = _OF_CALL.index("method_type")
_COUNTERS: Final = {
    "seldon_cache_evict_count": "A count of model cache evict",
    "seldon_cache_miss_count": "A count of model cache miss",
    "seldon_load_model_counter": "A count of model load",
    "seldon_unload_model_counter": "A count of model unload",
}
_API: Final = BUCKET.removesuffix("_bucket")
_LES: Final = (*(bound_text(bound) for bound in BOUNDS), INFINITE)


class AgentMetrics:
    """One replica's metrics about its models and memory, in a registry of their own."""

    def __init__(self, server: str, replica_index: int, memory_bytes: int, over_commit_percentage: int) -> None:
        self._values = {"server": server, "server_replica": str(replica_index)}
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._counted: Counter[str] = Counter()
        self._models = self._gauge(
            "seldon_loaded_model_gauge", "A gauge of models loaded in the system", "model_internal"
        )
        self._memory = self._gauge(
            "seldon_loaded_model_memory_bytes_gauge", "A gauge of memory of models in main memory", "model_internal"
        )
        self._evicted = self._gauge(
            "seldon_evicted_model_memory_bytes_gauge", "A gauge of memory of models evicted to disk", "model_internal"
        )
        capacity = self._gauge(
            "seldon_server_replica_memory_capacity_bytes_gauge", "A gauge of main memory of the replica"
        )
        capacity.labels(**self._values).set(memory_bytes)
        with_overcommit = self._gauge(
            "seldon_server_replica_memory_capacity_overcommit_bytes_gauge",
            "A gauge of main memory of the replica with its over-commit share",
        )
        with_overcommit.labels(**self._values).set(memory_bytes * (100 + over_commit_percentage) / 100)
        self._envoy_up = self._gauge(
            "seldon_agent_envoy_up", "1 while Envoy tells its counts of inference calls, else 0"
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, [*_LABELS, *labels], registry=self._registry)

    def loaded(self, internal: str, memory_bytes: int) -> None:
        """A model was loaded for the first time."""
        self._counted["seldon_load_model_counter"] += 1
        self.held(internal, memory_bytes)

    def held(self, internal: str, memory_bytes: int) -> None:
        self._set(internal, registered=1, memory_bytes=memory_bytes)

    def unloaded(self, internal: str) -> None:
        """A model was unloaded for good."""
        self._counted["seldon_unload_model_counter"] += 1
        self._set(internal, registered=0, memory_bytes=0)

    def _set(self, internal: str, registered: int, memory_bytes: int) -> None:
        labels = {**self._values, "model_internal": internal}
        self._models.labels(**labels).set(registered)
        self._memory.labels(**labels).set(memory_bytes)
        self._evicted.labels(**labels).set(0)

    def text(self, calls: Counts, *, envoy_up: bool) -> bytes:
        """Everything in Prometheus text format; `calls` are the inference calls of this replica."""
        self._envoy_up.labels(**self._values).set(envoy_up)
        counters = [
            counter(name, text, [(name, self._values, self._counted[name])]) for name, text in _COUNTERS.items()
        ]
        return encoded([*counters, *self._inference(calls), *self._registry.collect()])

    def _inference(self, calls: Counts) -> Iterator[Metric]:
        latency = "A histogram of latencies for inference server"
        yield histogram(_API, latency, self._latencies(calls))
        yield counter(TOTAL, "A count of server inference calls", self._calls(calls, TOTAL))
        yield counter(SECONDS, "A sum of server inference call latencies", self._calls(calls, SECONDS))
        for name, aggregate, text in (
            (TOTAL, "seldon_model_aggregate_infer_total", "A count of server inference calls (aggregate)"),
            (
                SECONDS,
                "seldon_model_aggregate_infer_seconds_total",
                "A sum of server inference call latencies (aggregate)",
            ),
        ):
            yield counter(aggregate, text, self._aggregate(calls, name, aggregate))

    def _calls(self, calls: Counts, name: str) -> Iterator[Sample]:
        for series, value in sorted(calls.items()):
            if series.name == name:
                yield name, {**self._values, **dict(zip(_OF_CALL, series.labels, strict=True))}, value

    def _aggregate(self, calls: Counts, name: str, aggregate: str) -> Iterator[Sample]:
        sums: dict[str, float] = {}
        for series, value in calls.items():
            if series.name == name:
                method_type = series.labels[_METHOD_TYPE]
                sums[method_type] = sums.get(method_type, 0.0) + value
        for method_type, value in sorted(sums.items()):
            yield aggregate, {**self._values, "method_type": method_type}, value

    def _latencies(self, calls: Counts) -> Iterator[Sample]:
        buckets = {series.labels: value for series, value in calls.items() if series.name == BUCKET}
        for series, total in sorted(calls.items()):
            if series.name == SUM:
                method, code = series.labels
                labels = {**self._values, "method": method, "code": code}
                for le in _LES:
                    yield BUCKET, {**labels, "le": le}, buckets[method, code, le]
                yield SUM, labels, total
                yield f"{_API}_count", labels, buckets[method, code, INFINITE]


class MetricsApp:
    """ASGI app with `/metrics`: what this agent knows itself, and what Envoy counted for its replica."""

    def __init__(self, metrics: AgentMetrics, own: OwnCounts, envoy: EnvoyStats) -> None:
        self._metrics = metrics
        self._own = own
        self._envoy = envoy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] != "/metrics":
            await respond(send, 404, b"not found: see /metrics\n", [(b"content-type", b"text/plain")])
            return
        counted, envoy_up = await self._envoy.counts()
        text = await asyncio.to_thread(self._text, added((counted, self._own.counts())), envoy_up)
        await respond(send, 200, text, [(b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode())])

    def _text(self, calls: Counts, envoy_up: bool) -> bytes:
        return self._metrics.text(calls, envoy_up=envoy_up)
