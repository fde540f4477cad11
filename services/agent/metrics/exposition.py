"""Families in Prometheus text format by the library's encoder, with the names and types that are documented."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector

Sample: TypeAlias = tuple[str, Mapping[str, str], float]
"""Full name, labels, value."""
_UNTYPED: Final = re.compile(rb"^(# TYPE \w+) untyped$", re.MULTILINE)


def counter(name: str, text: str, samples: Iterable[Sample]) -> Metric:
    """A counter of exactly that name: what the library knows as one ends in `_total`, so it is told that it knows not
    what this is, and `encoded` puts that right."""
    return _filled(Metric(name, text, "unknown"), samples)


def histogram(name: str, text: str, samples: Iterable[Sample]) -> Metric:
    return _filled(Metric(name, text, "histogram"), samples)


def _filled(metric: Metric, samples: Iterable[Sample]) -> Metric:
    for name, labels, value in samples:
        metric.add_sample(name, dict(labels), value)
    return metric


def encoded(metrics: Iterable[Metric]) -> bytes:
    """One family after the other. A family without samples shows its help and type alone."""
    return _UNTYPED.sub(rb"\1 counter", generate_latest(_Once(metrics)))


class _Once(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
