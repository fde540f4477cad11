"""Delays between attempts, without a clock."""

from collections.abc import Iterator


def exponential(first: float, cap: float) -> Iterator[float]:
    """Endless delays in seconds: `first`, twice that, ..., never above `cap`."""
    delay = first
    while True:
        yield min(delay, cap)
        delay = min(delay * 2, cap)
