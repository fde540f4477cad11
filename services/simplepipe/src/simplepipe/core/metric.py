"""One metric, as jobs write it, and what becomes of it in Prometheus' client."""

import math
from enum import Enum
from typing import Any, Optional, Union

from prometheus_client import CollectorRegistry, Gauge, Histogram, Info, Summary
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from simplepipe.core.names import CLAIM, wrong_label_name, wrong_metric_name


class MetricType(str, Enum):
    """How a value is taken: a gauge is set, a summary and a histogram observe, an info holds labels."""

    GAUGE = "gauge"
    SUMMARY = "summary"
    HISTOGRAM = "histogram"
    INFO = "info"


_TYPES = ", ".join(kind.value for kind in MetricType)
_SUFFIXES = {
    MetricType.GAUGE: ("",),
    MetricType.SUMMARY: ("", "_sum", "_count"),
    MetricType.HISTOGRAM: ("", "_bucket", "_sum", "_count"),
    MetricType.INFO: ("", "_info"),
}
_OWN_LABEL = {MetricType.SUMMARY: "quantile", MetricType.HISTOGRAM: "le"}


class Metric(BaseModel):
    """A name, what it means, a value and its type. Wrong ones raise pydantic's ValidationError, a ValueError."""

    model_config = ConfigDict(frozen=True, str_strip_whitespace=False)

    name: str
    description: str
    # Before `value`, which is judged by it.
    metric_type: MetricType
    value: Union[float, dict[str, str]]
    """A number, also written as text; for an info the labels."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Tell apart several metrics of one name."""
    buckets: Optional[list[float]] = None
    """Upper bounds of a histogram; without them those of Prometheus' client, from 5 ms to 10 s."""

    @field_validator("name")
    @classmethod
    def _name_is_legal(cls, name: str) -> str:
        if wrong := wrong_metric_name(name):
            raise ValueError(wrong)
        if name == CLAIM:
            raise ValueError("live jobs hold their names with it: take another name")
        return name

    @field_validator("metric_type", mode="before")
    @classmethod
    def _type_is_known(cls, kind: object) -> object:
        if not isinstance(kind, str) or kind not in {known.value for known in MetricType}:
            raise ValueError(f"use one of {_TYPES}")
        return kind

    @field_validator("value", mode="before")
    @classmethod
    def _value_fits_the_type(cls, value: object, info: ValidationInfo) -> object:
        kind = info.data.get("metric_type")
        if kind is None:
            # The type is wrong itself, and said to be.
            return 0.0
        if kind is MetricType.INFO:
            return _labels(value, 'write an object of labels, as in {"version": "2"}')
        return _number(value, observed=kind is not MetricType.GAUGE)

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_are_legal(cls, labels: object, info: ValidationInfo) -> object:
        checked = _labels(labels, 'write an object of labels, as in {"phase": "fit"}')
        own = _OWN_LABEL.get(info.data.get("metric_type"))  # type: ignore[arg-type]
        if own in checked:
            raise ValueError(f"label {own!r} is the type's own: take another name")
        value = info.data.get("value")
        if isinstance(value, dict) and (twice := checked.keys() & value.keys()):
            raise ValueError(f"label {min(twice)!r} is in value too: write it once")
        return checked

    @field_validator("buckets")
    @classmethod
    def _buckets_rise(cls, buckets: Optional[list[float]], info: ValidationInfo) -> Optional[list[float]]:
        if buckets is None:
            return None
        if info.data.get("metric_type", MetricType.HISTOGRAM) is not MetricType.HISTOGRAM:
            raise ValueError("only a histogram has buckets: leave them out")
        if not buckets or any(math.isnan(bound) for bound in buckets) or sorted(set(buckets)) != buckets:
            raise ValueError("write numbers that rise")
        return buckets

    def construct_as_prometheus(self, registry: CollectorRegistry) -> MetricWrapperBase:
        """Add it to the registry, with its value. Raises ValueError when the registry has the name already."""
        made = self.instrument(registry)
        self.apply_to(made)
        return made

    def instrument(self, registry: Optional[CollectorRegistry]) -> MetricWrapperBase:
        """A new instrument of this name and type, without the value; in no registry when it is None."""
        names = sorted(self.labels)
        if self.metric_type is MetricType.GAUGE:
            return Gauge(self.name, self.description, names, registry=registry)
        if self.metric_type is MetricType.SUMMARY:
            return Summary(self.name, self.description, names, registry=registry)
        if self.metric_type is MetricType.INFO:
            return Info(self.name, self.description, names, registry=registry)
        bounds = Histogram.DEFAULT_BUCKETS if self.buckets is None else self.buckets
        return Histogram(self.name, self.description, names, registry=registry, buckets=bounds)

    @property
    def families(self) -> tuple[str, ...]:
        """Names that Prometheus knows it by; no other metric may have one of them."""
        return tuple(f"{self.name}{suffix}" for suffix in _SUFFIXES[self.metric_type])

    def apply_to(self, instrument: MetricWrapperBase) -> None:
        """Set or observe the value in an instrument that `construct_as_prometheus` of the same name and type made."""
        child: Any = instrument.labels(**self.labels) if self.labels else instrument
        if self.metric_type is MetricType.GAUGE:
            child.set(self.value)
        elif self.metric_type is MetricType.INFO:
            child.info(self.value)
        else:
            child.observe(self.value)


def _number(value: object, observed: bool) -> float:
    """A live gauge may be NaN, as the loss of a run that diverged; a text is a number or it is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        number = _number_of_a_library(value)
    else:
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise ValueError("write a number") from None
    written = isinstance(value, str)
    if written and "_" in str(value):
        raise ValueError("write a number")
    if not math.isfinite(number) and (observed or written):
        raise ValueError("write a finite number")
    return number


def _number_of_a_library(value: object) -> float:
    # numpy's scalars and the like are numbers of their own kind; None, lists and bool have no such way, or a wrong one.
    if not isinstance(value, bool) and hasattr(type(value), "__float__"):
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            pass
    raise ValueError("write a number")


def _labels(given: object, otherwise: str) -> dict[str, str]:
    if not isinstance(given, dict):
        raise ValueError(otherwise)
    for name, value in given.items():
        if not isinstance(name, str) or (wrong := wrong_label_name(name)):
            raise ValueError(f"has label {name!r}: {wrong if isinstance(name, str) else 'write text'}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError(f"has {value!r} for label {name!r}: write text")
    return {name: str(value) for name, value in given.items()}
