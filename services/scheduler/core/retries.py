"""When something is tried again: one rule for agents, gateways, engines and Envoy.

An attempt that failed is made again after a while that grows with every failure; an instruction that nobody answered is
repeated after a while that grows with every repetition. Neither ever ends.
"""

from dataclasses import dataclass
from typing import Final

from services.scheduler.core.state import ReplicaState, Retry, Version
from shared import timing


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds: `first`, twice that, ..., never above `longest`, for ever."""

    first: float
    longest: float

    def after(self, times: int) -> float:
        """The delay after so many failures or repetitions, counted from 1."""
        return min(self.longest, self.first * 2.0 ** min(times - 1, 32))


LOAD_FAILED: Final = Delays(2.0, 300.0)
"""The cap keeps a broken model from keeping its server busy, and a mended artifact from waiting for long."""
MEMBER_FAILED: Final = Delays(2.0, 60.0)
"""Telling a gateway or engine again costs next to nothing, and what it failed for (a broker) may be back any time."""
UNANSWERED: Final = Delays(timing.FIRST_REPEAT, timing.LONGEST_REPEAT)


def after_failure(retry: Retry, now: float, reason: str) -> Retry:
    """The retry record after one more failure at `now` (seconds since the epoch)."""
    attempts = retry.attempts + 1
    return Retry(attempts=attempts, due=now + LOAD_FAILED.after(attempts), failure=reason)


def after_success(version: Version) -> Retry:
    """The record after a load or a new request: the count starts over, a failed unload keeps its turn."""
    failed_unloads = version.indexes(frozenset({ReplicaState.UNLOAD_FAILED}))
    return Retry(due=version.retry.due) if failed_unloads else Retry()
