"""How many random histories the tests of the scheduler play.

`make test` plays some hundreds within seconds. `HISTORIES=20000 make test ARGS='tests/scheduler -k histories'` plays so
many of each kind, of which the usual ones are the first.
"""

import os
import random
from collections.abc import Iterator
from typing import Final

_WANTED: Final = int(os.environ.get("HISTORIES", "0"))
SLICES: Final = 8
"""Tests that share the histories of one kind."""
History = list[tuple[str, int]]


def histories(actions: list[str], slice_: int, usually: int) -> Iterator[tuple[History, random.Random]]:
    """One slice of the histories, each with the chance that its test may go on drawing from."""
    for number in range((_WANTED or usually) // SLICES):
        chance = random.Random(f"{slice_} {number}")
        yield [(chance.choice(actions), chance.randrange(1000)) for _ in range(chance.randrange(20, 160))], chance
