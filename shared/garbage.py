"""Garbage collection for services with many requests in flight."""

import gc
from typing import Final

_RARELY: Final = (100_000, 50, 100)
"""Allocations between collections of each generation."""


def collect_rarely() -> None:
    """Requests in flight are many objects, none of them in a cycle: looking through them again and again takes up to a
    third of the processor time. What the start made is never looked at again."""
    gc.freeze()
    gc.set_threshold(*_RARELY)
