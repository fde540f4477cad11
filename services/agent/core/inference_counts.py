"""Counts of inference calls: the documented series, from calls seen here and from Envoy's counters. No I/O."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from shared.grpc_codes import camel_case
from shared.names import split_internal_name

REST: Final = "rest"
GRPC: Final = "grpc"
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds."""
INFINITE: Final = "+Inf"
VERBS: Final = frozenset({"get", "post", "head", "put", "patch", "delete", "options"})
"""HTTP verbs that the latency histogram tells apart: no caller can make up new ones."""

TOTAL: Final = "seldon_model_infer_total"
SECONDS: Final = "seldon_model_infer_seconds_total"
BUCKET: Final = "seldon_model_infer_api_seconds_bucket"
SUM: Final = "seldon_model_infer_api_seconds_sum"


class Series(NamedTuple):
    """A name and the values of the labels that differ within a replica.

    `TOTAL` and `SECONDS` have model, model_internal, method_type and code; `BUCKET` has method, code and le; `SUM` has
    method and code. Buckets are cumulative, as they are shown.
    """

    name: str
    labels: tuple[str, ...]


Counts = Mapping[Series, float]


def bound_text(bound: float) -> str:
    """A bucket's bound as it is written: `0.005`, `1`, `10`."""
    return f"{bound:g}"


class OwnCounts:
    """Calls that this process carried itself."""

    def __init__(self) -> None:
        self._values: dict[Series, float] = {}

    def rest(self, internal: str, verb: str, status: int, seconds: float) -> None:
        """An answered REST request. `internal` is empty when it was for no model of this replica."""
        self._call(internal, REST, str(status), seconds)
        method = verb.lower()
        if method in VERBS:
            self._latency(method, str(status), seconds)

    def grpc(self, internal: str, code: str, seconds: float, *, stream: bool) -> None:
        """A finished gRPC call; `code` by its canonical name. Streams last as long as callers like: no latency."""
        name = camel_case(code)
        self._call(internal, GRPC, name, seconds)
        if not stream:
            self._latency(GRPC, name, seconds)

    def _call(self, internal: str, method_type: str, code: str, seconds: float) -> None:
        split = split_internal_name(internal)
        labels = (split[0] if split else "", internal, method_type, code)
        self._add(TOTAL, labels, 1.0)
        self._add(SECONDS, labels, seconds)

    def _latency(self, method: str, code: str, seconds: float) -> None:
        for bound in BOUNDS:
            self._add(BUCKET, (method, code, bound_text(bound)), float(seconds <= bound))
        self._add(BUCKET, (method, code, INFINITE), 1.0)
        self._add(SUM, (method, code), seconds)

    def _add(self, name: str, labels: tuple[str, ...], value: float) -> None:
        series = Series(name, labels)
        self._values[series] = self._values.get(series, 0.0) + value

    def counts(self) -> Counts:
        return dict(self._values)


class LastingCounts:
    """Counts of a process that starts again at 0, for as long as this one lives: they never go back."""

    def __init__(self) -> None:
        self._uptime = 0.0
        self._ended: Counts = {}
        self._present: Counts = {}

    def observe(self, uptime: float, counts: Counts) -> None:
        """Take what the process shows now, in the order in which it was asked. `uptime` in seconds.

        It has restarted when it is younger than before, or when any count is lower; sums of fractions are not counts.
        What it counted after it was last asked is lost with it.
        """
        lower = any(counts.get(series, 0.0) < seen for series, seen in self._present.items() if series.name != SUM)
        if uptime < self._uptime or lower:
            self._ended = added((self._ended, self._present))
        self._uptime = uptime
        self._present = counts

    def totals(self) -> Counts:
        return added((self._ended, self._present))


def added(several: Iterable[Counts]) -> Counts:
    """The sum of each series."""
    total: dict[Series, float] = {}
    for counts in several:
        for series, value in counts.items():
            total[series] = total.get(series, 0.0) + value
    return total
