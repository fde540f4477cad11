"""The executor's Prometheus metrics under their version 1 names."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric

from services.v1gateway.core.labels import MODEL_LABELS, SERVER_LABELS, Model

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
QUANTILES: Final = (0.5, 0.75, 0.9, 0.99, 1.0)
SERVER: Final = "seldon_api_executor_server_requests_seconds"
CLIENT: Final = "seldon_api_executor_client_requests_seconds"
FEEDBACK: Final = "seldon_api_model_feedback"
REWARD: Final = "seldon_api_model_feedback_reward"
_LATEST: Final = 1024
_SECONDS: Final = 600.0


class Window:
    """The latest observations, out of which a scrape makes quantiles: exact, and nearly free for a request."""

    __slots__ = ("_latest", "_now", "count", "sum")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._latest: deque[tuple[float, float]] = deque(maxlen=_LATEST)
        self.count = 0
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self._latest.append((self._now(), seconds))
        self.count += 1
        self.sum += seconds

    def quantiles(self) -> list[float]:
        """NaN when there was nothing within ten minutes, as clients of Prometheus say it."""
        since = self._now() - _SECONDS
        recent = [seconds for at, seconds in self._latest if at >= since]
        return [float(value) for value in np.quantile(recent, QUANTILES)] if recent else [float("nan")] * len(QUANTILES)


class Timings:
    """A histogram, and its twin with quantiles."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        registry: CollectorRegistry,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._histogram = Histogram(name, text, labels, buckets=BUCKETS, registry=registry)
        self._name, self._text, self._labels, self._now = f"{name}_summary", f"{text}, with quantiles", labels, now
        self._children: dict[tuple[str, ...], tuple[Any, Window]] = {}
        registry.register(self)

    def observe(self, values: tuple[str, ...], seconds: float) -> None:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = (self._histogram.labels(*values), Window(self._now))
        histogram, window = child
        histogram.observe(seconds)
        window.observe(seconds)

    def describe(self) -> Iterator[Metric]:
        yield Metric(self._name, self._text, "summary")

    def collect(self) -> Iterator[Metric]:
        """The twin; the histogram is in the registry itself."""
        family = Metric(self._name, self._text, "summary")
        for values, (_, window) in list(self._children.items()):
            labels = dict(zip(self._labels, values, strict=True))
            for quantile, value in zip(QUANTILES, window.quantiles(), strict=True):
                family.add_sample(self._name, {**labels, "quantile": str(quantile)}, value)
            family.add_sample(f"{self._name}_count", labels, float(window.count))
            family.add_sample(f"{self._name}_sum", labels, window.sum)
        yield family


class _Sums:
    """Counters whose names end as version 1 named them; of no type, as the library gives every counter a suffix."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._values: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def add(self, values: tuple[str, ...], amount: float) -> None:
        self._values[values] = self._values.get(values, 0.0) + amount

    def describe(self) -> Iterator[Metric]:
        yield Metric(self._name, self._text, "unknown")

    def collect(self) -> Iterator[Metric]:
        family = Metric(self._name, self._text, "unknown")
        for values, amount in list(self._values.items()):
            family.add_sample(self._name, dict(zip(self._labels, values, strict=True)), amount)
        yield family


class ExecutorMetrics:
    """In a registry: the process's own unless another is given."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        both = (*SERVER_LABELS, *MODEL_LABELS)
        of_model = (*SERVER_LABELS[:3], *MODEL_LABELS)
        self._server = Timings(SERVER, "A histogram of latencies for executor server", SERVER_LABELS, registry)
        self._client = Timings(CLIENT, "A histogram of latencies for client calls from executor", both, registry)
        self._feedback = _Sums(FEEDBACK, "A count of feedback", of_model, registry)
        self._reward = _Sums(REWARD, "A sum of the rewards of feedback", of_model, registry)

    def served(self, of: tuple[str, str, str], service: str, method: str, code: str, seconds: float) -> None:
        """A call of a client ended; `of` are deployment, predictor and the predictor's version."""
        self._server.observe((*of, service, method, code), seconds)

    def asked(
        self, of: tuple[str, str, str], service: str, method: str, code: str, model: Model, seconds: float
    ) -> None:
        """A model or a pipeline has answered."""
        self._client.observe((*of, service, method, code, *model), seconds)

    def told(self, of: tuple[str, str, str], model: Model, reward: float) -> None:
        """Feedback came."""
        self._feedback.add((*of, *model), 1)
        self._reward.add((*of, *model), reward)
