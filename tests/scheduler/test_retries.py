"""How often Envoy tries again follows from how long a caller is to wait."""

import random
import statistics

from services.scheduler.core.envoy.resources import retries_within


def waited(retries: int, chance: random.Random) -> float:
    """Seconds that Envoy waits in all: before each retry a random part of a time that doubles, up to a limit."""
    return sum(chance.uniform(0, min(0.005 * 2**number, 0.4)) for number in range(retries))


def test_the_wait_is_as_long_as_asked_for() -> None:
    chance = random.Random(9)
    for seconds in (1.0, 5.0, 30.0):
        waits = [waited(retries_within(seconds), chance) for _ in range(500)]
        assert seconds <= statistics.mean(waits) + 0.05
        assert statistics.mean(waits) <= seconds + 0.4


def test_another_endpoint_is_tried_even_when_nobody_is_to_wait() -> None:
    assert retries_within(0) == 3
