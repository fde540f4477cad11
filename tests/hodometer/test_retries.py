"""When calls are made again."""

import pytest

from services.hodometer.core.retries import publish_again, publish_delays, scheduler_delays


def test_publishing_is_tried_again_twenty_times_with_growing_delays() -> None:
    assert list(publish_delays()) == [1, 2, 4, 8, 16, *[30] * 15]


@pytest.mark.parametrize("status", [None, 429, 500, 502, 503, 504, 599])
def test_worth_another_attempt(status: int | None) -> None:
    assert publish_again(status)


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 428, 430, 499, 501, 600])
def test_final(status: int) -> None:
    assert not publish_again(status)


def test_the_scheduler_is_asked_again_for_about_a_minute() -> None:
    delays = list(scheduler_delays())
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(delays) == 10
    assert 45 < sum(delays) < 75
