"""Metrics that models report with their answers, as series: pure, and the same in every process."""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

COUNTER: Final = "COUNTER"
GAUGE: Final = "GAUGE"
TIMER: Final = "TIMER"
_TYPES: Final = (COUNTER, GAUGE, TIMER)
_STEPS: Final = 50
_SHORTEST, _LONGEST = 0.001, 30.0
BOUNDS: Final = (
    0.0,
    *(_SHORTEST * (_LONGEST / _SHORTEST) ** (step / (_STEPS - 1)) for step in range(_STEPS - 1)),
    _LONGEST,
)
"""Upper bounds of a timer's buckets in seconds: zero, and fifty spread evenly over the logarithm."""
PLACEHOLDER: Final = "NOT_IMPLEMENTED"
"""For what version 1 knew and this system does not have."""
WORKER: Final = "worker_id"
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


class BadMetric(ValueError):
    """A model reported what is no metric; the text names metric, field, value and fix."""


@dataclass(frozen=True)
class Entry:
    """One reported value; `tags` are sorted."""

    type: str
    key: str
    value: float
    tags: tuple[tuple[str, str], ...]


def labels_of(internal: str) -> dict[str, str]:
    """The labels of a model that its server calls `<model>_<version>`."""
    model, _, version = internal.rpartition("_")
    return {
        "deployment_name": model or internal,
        "model_name": model or internal,
        "model_image": model or internal,
        "model_version": version if model else PLACEHOLDER,
        "predictor_name": PLACEHOLDER,
        "predictor_version": PLACEHOLDER,
    }


_OWN_LABELS: Final = {*labels_of(""), WORKER, "le"}


def entries(reported: object) -> list[Entry]:
    """What a model's `metrics()` returned. Raises BadMetric."""
    if not isinstance(reported, list | tuple):
        raise BadMetric(f"metrics() returned {reported!r:.200}: return a list of dicts with type, key and value")
    return [_entry(index, each) for index, each in enumerate(reported)]


def _entry(index: int, reported: object) -> Entry:
    if not isinstance(reported, Mapping):
        raise _wrong(index, "metric", reported, "write a dict with type, key and value")
    kind, key, value, tags = (reported.get(name) for name in ("type", "key", "value", "tags"))
    if kind not in _TYPES:
        raise _wrong(index, "type", kind, f"write one of {', '.join(_TYPES)}")
    if not isinstance(key, str) or not _NAME.fullmatch(key):
        raise _wrong(index, "key", key, "write letters, digits and underscores, no digit first")
    number = _number(value)
    if number is None or (kind != GAUGE and not 0 <= number < math.inf):
        raise _wrong(
            index, "value", value, "write a number" if kind == GAUGE else "write a number that is not negative"
        )
    return Entry(str(kind), key, number, _tags(index, tags))


def _number(value: Any) -> float | None:
    # numpy's numbers count, text and truth values do not.
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _tags(index: int, tags: object) -> tuple[tuple[str, str], ...]:
    if tags is None:
        return ()
    if not isinstance(tags, Mapping):
        raise _wrong(index, "tags", tags, "write a dict of names and texts")
    for name in tags:
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            raise _wrong(index, "tag", name, "write letters, digits and underscores, no digit or two underscores first")
        if name in _OWN_LABELS:
            raise _wrong(index, "tag", name, "choose another name: every metric has this label already")
    return tuple(sorted((name, str(value)) for name, value in tags.items()))


def _wrong(index: int, what: str, value: object, fix: str) -> BadMetric:
    return BadMetric(f"metric {index}: invalid {what} {value!r:.200}: {fix}")


@dataclass
class _Timer:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        total, made = 0, []
        for bound, count in zip((*BOUNDS, math.inf), self.counts, strict=True):
            total += count
            made.append(("+Inf" if bound == math.inf else repr(bound), float(total)))
        return made


_Labels = tuple[tuple[str, str], ...]


class Series:
    """Every metric that was reported, and what it stands at."""

    def __init__(self) -> None:
        self._types: dict[str, str] = {}
        self._values: dict[str, dict[_Labels, float]] = {}
        self._timers: dict[str, dict[_Labels, _Timer]] = {}

    def check(self, reported: Iterable[Entry]) -> None:
        """Raises BadMetric for a metric that had another type before."""
        types: dict[str, str] = {}
        for entry in reported:
            name = _family(entry)
            known = types.setdefault(name, self._types.get(name, entry.type))
            if known != entry.type:
                raise BadMetric(f"metric {entry.key!r} is a {known} already: give the {entry.type} another key")

    def add(self, labels: Mapping[str, str], reported: list[Entry]) -> None:
        """Either all of them or none. Raises BadMetric as `check` does."""
        self.check(reported)
        for entry in reported:
            name = _family(entry)
            self._types[name] = entry.type
            series = tuple({**labels, **dict(entry.tags)}.items())
            if entry.type == TIMER:
                self._timers.setdefault(name, {}).setdefault(series, _Timer()).observe(entry.value / 1000)
            else:
                values = self._values.setdefault(name, {})
                values[series] = entry.value + (values.get(series, 0.0) if entry.type == COUNTER else 0.0)

    def collect(self) -> Iterable[Metric]:
        """As Prometheus' library asks for them."""
        for name, type in list(self._types.items()):
            if type == TIMER:
                histogram = HistogramMetricFamily(name, "Timer that a model reports")
                for series, timer in list(self._timers[name].items()):
                    labels = dict(series)
                    for bound, count in timer.buckets():
                        histogram.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
                    histogram.add_sample(f"{name}_count", labels, float(sum(timer.counts)))
                    histogram.add_sample(f"{name}_sum", labels, timer.sum)
                yield histogram
                continue
            counter = type == COUNTER
            family = (CounterMetricFamily if counter else GaugeMetricFamily)(
                name, f"{'Counter' if counter else 'Gauge'} that a model reports"
            )
            for series, value in list(self._values[name].items()):
                family.add_sample(f"{name}_total" if counter else name, dict(series), value)
            yield family


def _family(entry: Entry) -> str:
    return entry.key.removesuffix("_total") if entry.type == COUNTER else entry.key
