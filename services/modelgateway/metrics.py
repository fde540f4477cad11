"""The model gateway's Prometheus metrics."""

import contextlib

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from services.modelgateway.core.memory import Memory

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class GatewayMetrics:
    """In a registry: the process's own unless another is given."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"seldon_modelgateway_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"seldon_modelgateway_{name}", text, ("model",), registry=registry)

        self.calls = counter("calls_total", "Inference calls by the gRPC code they ended in", "model", "code")
        self.retries = counter("call_retries_total", "Repeated attempts of inference calls", "model")
        self.call_seconds = Histogram(
            "seldon_modelgateway_call_seconds",
            "Duration of inference calls with all their attempts",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.wait_seconds = Histogram(
            "seldon_modelgateway_wait_seconds",
            "Time from a record being read until its call begins",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.acknowledge_seconds = Histogram(
            "seldon_modelgateway_acknowledge_seconds",
            "Time from a record being sent until Kafka has it",
            buckets=_SECONDS,
            registry=registry,
        )
        self.poison = counter("poison_records_total", "Records that no call can be made of", "model", "kind")
        self.in_flight = gauge("in_flight", "Inference calls in flight")
        self.queued = gauge("queued_records", "Records that were read and wait for a call")
        self.unacknowledged = gauge("unacknowledged_records", "Records whose output waits for Kafka's word")
        self.paused = gauge("paused", "1 while no more is read for a model because it is at its bound")
        self.polled = Histogram(
            "seldon_modelgateway_polled_records",
            "Records in one batch from Kafka",
            buckets=_RECORDS,
            registry=registry,
        )
        self.send_failures = counter("send_failures_total", "Records that Kafka did not take at once", "model", "cause")
        self.unforeseen = counter("unforeseen_failures_total", "Records whose work failed in a way unforeseen", "model")
        self._held_bytes = Gauge(
            "seldon_modelgateway_held_bytes",
            "Bytes of records of all models that were read and are not done with",
            registry=registry,
        )
        self.commit_failures = counter("commit_failures_total", "Commits of offsets that failed")

    def memory(self, memory: Memory) -> None:
        """Show what it holds from now on."""
        self._held_bytes.set_function(lambda: memory.held)

    def forget(self, model: str) -> None:
        """Show no gauges of a model that is gone."""
        for gauge in (self.in_flight, self.queued, self.unacknowledged, self.paused):
            with contextlib.suppress(KeyError):
                gauge.remove(model)
