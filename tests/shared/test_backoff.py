"""Attempts come after growing delays, and end where they are told to."""

import asyncio

import pytest

from shared.backoff import Attempt, Attempts


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays that were waited for; they take no time."""
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return delays


async def test_delays_grow_up_to_their_cap_and_none_comes_before_the_first_attempt(slept: list[float]) -> None:
    async for attempt in Attempts(0.5, 3.0):
        if attempt.number == 6:
            break
    assert slept == [0.5, 1.0, 2.0, 3.0, 3.0]


async def test_after_the_last_attempt_nothing_is_waited_for(slept: list[float]) -> None:
    made = [attempt async for attempt in Attempts(1.0, 10.0, most=3)]
    assert made == [Attempt(1, 1.0, False), Attempt(2, 2.0, False), Attempt(3, 4.0, True)]
    assert slept == [1.0, 2.0]
