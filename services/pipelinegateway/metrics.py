"""The pipeline gateway's Prometheus metrics: the documented families and a few of its own."""

from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from services.pipelinegateway.core.admission import Admission
from services.pipelinegateway.waiting import Waiting

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
REST: Final = "rest"
GRPC: Final = "grpc"
_SERVER: Final = "pipeline-gateway"


class GatewayMetrics:
    """In a registry: the process's own unless another is given."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        self._latency = self._histogram(
            "seldon_pipeline_infer_api_seconds",
            "A histogram of latencies for pipeline gateway",
            ("pipeline", "method", "code"),
        )
        by_pipeline = ("pipeline", "method_type", "code")
        self._count = self._counter("seldon_pipeline_infer_total", "A count of pipeline gateway calls", by_pipeline)
        self._sum = self._counter(
            "seldon_pipeline_infer_seconds_total", "A sum of pipeline gateway call latencies", by_pipeline
        )
        self._aggregate_count = self._counter(
            "seldon_pipeline_aggregate_infer_total", "A count of pipeline gateway calls (aggregate)", ("method_type",)
        )
        self._aggregate_sum = self._counter(
            "seldon_pipeline_aggregate_infer_seconds_total",
            "A sum of pipeline gateway call latencies (aggregate)",
            ("method_type",),
        )
        self._kafka_wait = self._histogram(
            "seldon_pipelinegateway_kafka_wait_seconds",
            "Time from producing a request until its answer was read",
        ).labels(_SERVER)
        self._acknowledge = self._histogram(
            "seldon_pipelinegateway_acknowledge_seconds", "Time from a request being sent until Kafka has it"
        ).labels(_SERVER)
        self._expired = self._counter(
            "seldon_pipelinegateway_deadline_expiries_total", "Requests without an answer at their deadline"
        ).labels(_SERVER)
        self._late = self._counter(
            "seldon_pipelinegateway_late_answers_total",
            "Answers to requests of this gateway that nobody waited for, duplicates among them",
        ).labels(_SERVER)
        self._in_flight = Gauge(
            "seldon_pipelinegateway_in_flight", "Requests waiting for their answer", ("server",), registry=registry
        )
        self._in_flight_bytes = Gauge(
            "seldon_pipelinegateway_in_flight_bytes",
            "Bytes of the bodies of requests in flight",
            ("server",),
            registry=registry,
        )
        self._refused = self._counter(
            "seldon_pipelinegateway_refused_total",
            "Requests refused because too many, or too many bytes, were in flight",
        ).labels(_SERVER)
        self._children: dict[tuple[str, str, str], tuple[Any, ...]] = {}

    def _histogram(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, text, ("server", *labels), buckets=BUCKETS, registry=self._registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, text, ("server", *labels), registry=self._registry)

    def in_flight(self, waiting: Waiting, admission: Admission) -> None:
        """Show how many wait, and what their requests hold, from now on."""
        self._in_flight.labels(_SERVER).set_function(lambda: len(waiting))
        self._in_flight_bytes.labels(_SERVER).set_function(lambda: admission.bytes)

    def inferred(self, pipeline: str, method: str, code: str, seconds: float) -> None:
        """A call ended, in whatever way. `pipeline` is empty when it was for none that is known."""
        key = (pipeline, method, code)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = (
                self._latency.labels(_SERVER, *key),
                self._count.labels(_SERVER, *key),
                self._sum.labels(_SERVER, *key),
                self._aggregate_count.labels(_SERVER, method),
                self._aggregate_sum.labels(_SERVER, method),
            )
        latency, count, total, aggregate_count, aggregate_total = children
        latency.observe(seconds)
        count.inc()
        total.inc(seconds)
        aggregate_count.inc()
        aggregate_total.inc(seconds)

    def kafka_wait(self, seconds: float) -> None:
        self._kafka_wait.observe(seconds)

    def acknowledged(self, seconds: float) -> None:
        """By Kafka."""
        self._acknowledge.observe(seconds)

    def refused(self) -> None:
        """Because too much was in flight."""
        self._refused.inc()

    def deadline_expired(self) -> None:
        self._expired.inc()

    def late_answer(self) -> None:
        self._late.inc()
