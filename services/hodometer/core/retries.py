"""When a call that failed is made again, and after how long."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from shared.delays import exponential

MAX_RETRIES: Final = 20
"""After the first attempt to publish; with all delays it gives up after eight minutes."""
_NOT_IMPLEMENTED: Final = 501
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERRORS: Final = range(500, 600)


def publish_delays() -> Iterator[float]:
    """Seconds before each retry: 1, 2, 4, ..., never above 30."""
    return islice(exponential(1.0, 30.0), MAX_RETRIES)


def publish_again(status: int | None) -> bool:
    """Whether trying again may help. `status` is that of the HTTP answer, None when there was no answer."""
    if status is None or status == _TOO_MANY_REQUESTS:
        return True
    return status in _SERVER_ERRORS and status != _NOT_IMPLEMENTED


def scheduler_delays() -> Iterator[float]:
    """Seconds before each retry of a call to the scheduler: from 0.1, doubling up to 10, about a minute in all."""
    return islice(exponential(0.1, 10.0), 12)
