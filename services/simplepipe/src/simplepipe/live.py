"""The metrics of a run that goes on: what it has said so far, and what its next push sends. No network in here."""

from __future__ import annotations

import functools
import inspect
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Gauge
from pydantic import ValidationError

from simplepipe.core import claims, requests
from simplepipe.core.exposition import Instruments
from simplepipe.core.metric import Metric, MetricType
from simplepipe.core.names import CLAIM, HOST_LABEL, RUN_LABEL, checked_job
from simplepipe.core.parsing import problems_of
from simplepipe.errors import InvalidArgument, InvalidMetrics, SimplepipeError

RUN_TIME = "run_time_seconds"
SUCCEEDED = "run_succeeded"
_PUSHES_IN_A_LEASE = 6
_SHORTEST_LEASE_SECONDS = 30.0
_Function = TypeVar("_Function", bound=Callable[..., Any])


class LiveMetrics:
    """A job's metrics, from any thread. Each call is seen with the next push.

    Beside what is set here a job shows `run_time_seconds`, and when it has ended `run_succeeded`: 1 or 0.
    """

    def __init__(self, url: str, name: str, grouping: Mapping[str, str], every: float) -> None:
        if every <= 0:
            raise InvalidArgument("every", every, "give seconds, more than 0")
        self.name = checked_job(name)
        self.run = uuid.uuid4().hex[:12]
        self._url = url
        self._grouping = grouping
        self._lock = threading.Lock()
        self._instruments = Instruments(grouping)
        self._began = time.monotonic()
        self._lost: SimplepipeError | None = None
        self._own = CollectorRegistry()
        self._run_time = Gauge(RUN_TIME, "Seconds that the run took, or has taken so far", registry=self._own)
        self._lease_seconds = max(every * _PUSHES_IN_A_LEASE, _SHORTEST_LEASE_SECONDS)
        labels = (RUN_LABEL, HOST_LABEL)
        help_text = "Seconds after its last push for which this run holds the job; 0 when it has ended"
        self._lease = Gauge(CLAIM, help_text, labels, registry=self._own).labels(self.run, socket.gethostname())
        self._lease.set(self._lease_seconds)

    def gauge(self, name: str, value: float, description: str = "", *, labels: Mapping[str, str] | None = None) -> None:
        """Set a value. Raises InvalidMetrics for what cannot be, here as in the other calls."""
        self._take(name, value, description, MetricType.GAUGE, labels)

    def summary(
        self, name: str, value: float, description: str = "", *, labels: Mapping[str, str] | None = None
    ) -> None:
        """Observe a value: Prometheus shows how many there were, and their sum."""
        self._take(name, value, description, MetricType.SUMMARY, labels)

    def histogram(
        self,
        name: str,
        value: float,
        description: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        buckets: Sequence[float] | None = None,
    ) -> None:
        """Observe a value, counted in buckets; their upper bounds are those of the first call."""
        self._take(name, value, description, MetricType.HISTOGRAM, labels, buckets)

    def info(self, name: str, value: Mapping[str, str], description: str = "") -> None:
        """Say something in words, as labels of `<name>_info`."""
        self._take(name, value, description, MetricType.INFO, None)

    @contextmanager
    def timed(self, name: str, description: str = "") -> Iterator[None]:
        """Observe the seconds that the block, or every call of a decorated function, takes; also when it fails."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.summary(name, time.monotonic() - began, description)

    def next_push(self) -> requests.Request:
        """A request with everything so far."""
        with self._lock:
            self._run_time.set(time.monotonic() - self._began)
            return requests.replace(self._url, self.name, self._grouping, self._instruments, self._own)

    def last_push(self, succeeded: bool) -> requests.Request:
        """The same when the run has ended: it gives its lease back."""
        with self._lock:
            self._lease.set(0)
            Gauge(SUCCEEDED, "1 when the run ended well, 0 when it failed", registry=self._own).set(succeeded)
        return self.next_push()

    def removal(self) -> requests.Request:
        return requests.remove(self._url, self.name, self._grouping)

    def look(self) -> requests.Request:
        """Asks who holds the job; `check_holder` reads the answer."""
        return requests.everything(self._url)

    def check_holder(self, answer: Any, now: float) -> None:
        """Raises JobInUse when another run holds the job; `now` by the Pushgateway's clock."""
        claims.check(claims.claim_in(answer, self.name, self._grouping, now), self.run, self.name)

    def lose(self, error: SimplepipeError) -> None:
        """From now on every call raises this: there is no use in going on."""
        self._lost = error

    @property
    def lost(self) -> SimplepipeError | None:
        return self._lost

    def _take(
        self,
        name: str,
        value: object,
        description: str,
        kind: MetricType,
        labels: Mapping[str, str] | None,
        buckets: Sequence[float] | None = None,
    ) -> None:
        if self._lost is not None:
            raise self._lost
        if name in (RUN_TIME, SUCCEEDED):
            raise InvalidArgument("metric", name, "a live job sets this one itself: take another name")
        written = {
            "name": name,
            "description": description,
            "value": dict(value) if isinstance(value, Mapping) else value,
            "metric_type": kind.value,
            "labels": dict(labels or {}),
            "buckets": None if buckets is None else list(buckets),
        }
        try:
            metric = Metric.model_validate(written)
        except ValidationError as error:
            raise InvalidMetrics(problems_of(error, name)) from None
        with self._lock:
            self._instruments.take(metric)


def decorated(function: _Function, enter: Callable[[], Any]) -> _Function:
    """The function, each of whose calls runs within `enter()`. Raises InvalidArgument for a coroutine function."""
    if inspect.iscoroutinefunction(function):
        raise InvalidArgument("function", function.__name__, "measure it with AsyncMetricCollector")

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        with enter():
            return function(*arguments, **named)

    return called  # type: ignore[return-value]
