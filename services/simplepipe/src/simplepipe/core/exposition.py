"""From metrics to instruments of prometheus-client, and from these to text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from simplepipe.core.metric import Metric, MetricType
from simplepipe.errors import InvalidMetrics, Problem

_OBSERVED = (MetricType.SUMMARY, MetricType.HISTOGRAM)


class Instruments(Collector):
    """Metrics by name. A summary and a histogram take any number of observations.

    No registry of prometheus-client: that one compares every new name with all others, which is too slow for thousands.
    """

    def __init__(self, grouping: Mapping[str, str]) -> None:
        self._grouping = grouping
        """Labels of the group that they go to; no metric may have one of these itself."""
        self._made: dict[str, tuple[Metric, MetricWrapperBase]] = {}
        self._owners: dict[str, str] = {}
        """Every name that Prometheus will see, to the metric that brings it."""

    def collect(self) -> Iterator[Family]:
        for _, instrument in self._made.values():
            for family in instrument.collect():
                # When this process made a series is of no concern to whoever reads what a job pushed.
                family.samples = [sample for sample in family.samples if sample.name != f"{family.name}_created"]
                yield family

    def take(self, metric: Metric) -> None:
        """Set or observe its value. Raises InvalidMetrics when it does not go together with what is there."""
        self._refuse_labels_of_the_group(metric)
        if metric.name not in self._made:
            self._add(metric)
        first, instrument = self._made[metric.name]
        if metric.metric_type is not first.metric_type:
            kinds = f"{metric.metric_type.value}, and {first.metric_type.value} elsewhere"
            raise _wrong(metric, "metric_type", f"is {kinds}: give one name one type")
        if metric.labels.keys() != first.labels.keys():
            fix = f"give every {metric.name} the labels of the first, {sorted(first.labels)}"
            raise _wrong(metric, "labels", f"are {sorted(metric.labels)}: {fix}")
        if metric.buckets not in (None, first.buckets):
            raise _wrong(metric, "buckets", "are not those of the first: write them once")
        metric.apply_to(instrument)

    def _add(self, metric: Metric) -> None:
        for name in metric.families:
            if name in self._owners:
                raise _wrong(metric, "name", f"clashes with {self._owners[name]}, both show {name}: rename one of them")
        try:
            self._made[metric.name] = (metric, metric.instrument(None))
        except ValueError as refusal:
            raise _wrong(metric, "name", f"is refused by prometheus-client: {refusal}") from None
        self._owners.update(dict.fromkeys(metric.families, metric.name))

    def _refuse_labels_of_the_group(self, metric: Metric) -> None:
        names = set(metric.labels) | (set(metric.value) if isinstance(metric.value, dict) else set())
        if twice := names & self._grouping.keys():
            raise _wrong(metric, "labels", f"have {min(twice)!r}, which is a grouping key: take another name")


def instruments_of(metrics: Sequence[Metric], grouping: Mapping[str, str]) -> Instruments:
    """Fresh ones with all of the metrics. Raises InvalidMetrics with every problem."""
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
    return instruments


class Together(Collector):
    """Several collectors as one."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Family]:
        for collector in self._collectors:
            yield from collector.collect()


def text_of(collector: Collector) -> str:
    """Prometheus' text format."""
    return generate_latest(collector).decode()


def _wrong(metric: Metric, field_name: str, said: str) -> InvalidMetrics:
    return InvalidMetrics([Problem(0, metric.name, field_name, said)])
