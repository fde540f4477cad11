"""Asking again until something is so, or time is up."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from services.cli.failures import CommandFailed

POLL_SECONDS: Final = 1.0

T = TypeVar("T")


def wait_until(
    ask: Callable[[], T],
    satisfied: Callable[[T], bool],
    what: str,
    timeout_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The first answer that satisfies, asking once a second.

    Raises CommandFailed `<what> wait status timeout` when `timeout_seconds` have passed without one.
    """
    deadline = clock() + timeout_seconds
    while True:
        answer = ask()
        if satisfied(answer):
            return answer
        left = deadline - clock()
        if left <= 0:
            raise CommandFailed(f"{what} wait status timeout")
        sleep(min(POLL_SECONDS, left))
