"""Who holds a job: a live run says so in its group, and another run of the same name finds it there. Pure.

A Pushgateway has no locks. A run therefore pushes a lease with its id along with its metrics, and before every push
looks whether the lease there is its own. Of two runs that begin at the same moment both may push; the next look of one
of them finds the other, so that one goes on and one is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simplepipe.core.names import CLAIM, HOST_LABEL, RUN_LABEL
from simplepipe.errors import JobInUse


@dataclass(frozen=True)
class Claim:
    """The lease in a group: whose, for how many seconds after the last push, and how old that push is."""

    run: str
    host: str
    lease_seconds: float
    age_seconds: float

    @property
    def holds(self) -> bool:
        """A run that ended gives its lease back, and one that was killed pushes no more."""
        return self.age_seconds < self.lease_seconds


def claim_in(answer: Any, job: str, grouping: Mapping[str, str], now: float) -> Claim | None:
    """The lease of this group in what a Pushgateway answers to `/api/v1/metrics`; `now` in seconds, by its clock."""
    wanted = {"job": job, **grouping}
    for group in _list(_of(answer, "data")):
        labels = _of(group, "labels")
        # Every group has the label `instance`, empty unless it was given.
        if not isinstance(labels, dict) or {"instance": "", **wanted} != {"instance": "", **labels}:
            continue
        pushed = _list(_of(_of(group, "push_time_seconds"), "metrics"))
        for metric in _list(_of(_of(group, CLAIM), "metrics")):
            written = _of(metric, "labels")
            age = now - _number(pushed[0] if pushed else None)
            return Claim(str(_of(written, RUN_LABEL)), str(_of(written, HOST_LABEL)), _number(metric), max(age, 0.0))
    return None


def check(claim: Claim | None, run: str, job: str) -> None:
    """Raises JobInUse when another run holds the job."""
    if claim is None or claim.run == run or not claim.holds:
        return
    raise JobInUse(
        f"job {job} is in use by another run, {claim.run} on {claim.host}, which pushed {claim.age_seconds:.0f} s ago: "
        "wait until it ends, or give each run a grouping key of its own, as in grouping_key={'instance': '2'}"
    )


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(metric: Any) -> float:
    try:
        return float(_of(metric, "value"))
    except (TypeError, ValueError):
        return 0.0
