"""From metrics to a registry, and from a registry to what is sent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from simplepipe.errors import InvalidMetrics, Problem
from simplepipe.metric import Metric, MetricType

_OBSERVED = (MetricType.SUMMARY, MetricType.HISTOGRAM)


@dataclass
class Instruments:
    """Metrics by name, in one registry. A summary and a histogram take any number of observations."""

    grouping: Mapping[str, str] = field(default_factory=dict)
    """Labels of the group that they go to; no metric may have one of these itself."""
    registry: CollectorRegistry = field(default_factory=lambda: CollectorRegistry(auto_describe=False))
    _made: dict[str, tuple[Metric, MetricWrapperBase]] = field(default_factory=dict)

    def take(self, metric: Metric) -> None:
        """Set or observe its value. Raises InvalidMetrics when it does not go together with what is there."""
        self._refuse_labels_of_the_group(metric)
        if metric.name not in self._made:
            try:
                self._made[metric.name] = (metric, metric.construct_as_prometheus(self.registry))
            except ValueError as clash:
                raise _wrong(metric, "name", f"does not go together with another metric: {clash}") from None
            return
        first, instrument = self._made[metric.name]
        if metric.metric_type is not first.metric_type:
            kinds = f"{metric.metric_type.value}, and {first.metric_type.value} elsewhere"
            raise _wrong(metric, "metric_type", f"is {kinds}: give one name one type")
        if metric.labels.keys() != first.labels.keys():
            fix = f"give every {metric.name} the labels {', '.join(sorted(first.labels)) or 'of the first: none'}"
            raise _wrong(metric, "labels", f"are {sorted(metric.labels)}, unlike those of the first: {fix}")
        if metric.metric_type is MetricType.HISTOGRAM and metric.buckets not in (None, first.buckets):
            raise _wrong(metric, "buckets", "are not those of the first: write them once")
        metric.apply_to(instrument)

    def _refuse_labels_of_the_group(self, metric: Metric) -> None:
        names = set(metric.labels) | (set(metric.value) if isinstance(metric.value, dict) else set())
        if twice := names & self.grouping.keys():
            raise _wrong(metric, "labels", f"have {min(twice)!r}, which is a grouping key: take another name")


def registry_of(metrics: Sequence[Metric], grouping: Mapping[str, str]) -> CollectorRegistry:
    """A fresh registry with all of them. Raises InvalidMetrics with every problem."""
    if not metrics:
        raise InvalidMetrics([Problem(0, "", "is missing:", "the list is empty; to empty a job, delete it")])
    instruments = Instruments(grouping)
    problems: list[Problem] = []
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for index, metric in enumerate(metrics):
        series = (metric.name, tuple(sorted(metric.labels.items())))
        if series in seen and metric.metric_type not in _OBSERVED:
            problems.append(Problem(index, metric.name, "name", "is there twice: leave one out, or add labels"))
            continue
        seen.add(series)
        try:
            instruments.take(metric)
        except InvalidMetrics as wrong:
            problems += (Problem(index, each.name, each.field, each.said) for each in wrong.problems)
    if problems:
        raise InvalidMetrics(problems)
    return instruments.registry


class WithoutCreationTimes(Collector):
    """A registry as Prometheus wants it from a job: the moments at which series came to be are those of this process."""

    def __init__(self, *registries: CollectorRegistry) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Family]:
        for family in _families(self._registries):
            family.samples = [sample for sample in family.samples if sample.name != f"{family.name}_created"]
            yield family


def text_of(registry: CollectorRegistry) -> str:
    """Prometheus' text format."""
    # Its type says registry, and it takes whatever collects.
    return generate_latest(WithoutCreationTimes(registry)).decode()  # type: ignore[arg-type]


def _families(registries: Iterable[CollectorRegistry]) -> Iterator[Family]:
    for registry in registries:
        yield from registry.collect()


def _wrong(metric: Metric, field_name: str, said: str) -> InvalidMetrics:
    return InvalidMetrics([Problem(0, metric.name, field_name, said)])
