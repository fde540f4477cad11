"""When a failed load or unload is tried again."""

from itertools import islice
from typing import Final

from services.scheduler.core.state import ReplicaState, Retry, Version
from shared.backoff import exponential

FIRST_DELAY: Final = 2.0
MAX_DELAY: Final = 300.0
"""Seconds. The cap keeps a broken model from keeping its server busy, and a mended artifact from waiting for long."""
_DELAYS: Final = tuple(islice(exponential(FIRST_DELAY, MAX_DELAY), 10))


def after_failure(retry: Retry, now: float, reason: str) -> Retry:
    """The retry record after one more failure at `now` (seconds since the epoch)."""
    delay = _DELAYS[min(retry.attempts, len(_DELAYS) - 1)]
    return Retry(attempts=retry.attempts + 1, due=now + delay, failure=reason)


def after_success(version: Version) -> Retry:
    """The record after a load or a new request: the count starts over, a failed unload keeps its turn."""
    failed_unloads = version.indexes(frozenset({ReplicaState.UNLOAD_FAILED}))
    return Retry(due=version.retry.due) if failed_unloads else Retry()
