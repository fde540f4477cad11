"""Calls that tell the scheduler what became of its instructions."""

from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio

from shared.backoff import Attempts
from shared.logs import logger

_log = logger("scheduler-link")

_LONGEST_DELAY: Final = 5.0
LOST_ON_THE_WAY: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


@dataclass(frozen=True, slots=True)
class Delivery:
    """How hard to try. Times in seconds; an answer with any other code than `retried` is final, none is when None."""

    attempts: int
    timeout: float
    first_delay: float
    retried: frozenset[grpc.StatusCode] | None = None

    async def of(self, call: Any, message: Any, **about: str) -> None:
        """Make the call; `about` says in the log whose report was dropped. The next subscription tells the same."""
        async for attempt in Attempts(self.first_delay, _LONGEST_DELAY, self.attempts):
            try:
                await call(message, timeout=self.timeout)
                return
            except grpc.aio.AioRpcError as error:
                refused = self.retried is not None and error.code() not in self.retried
                if refused or attempt.is_last:
                    _log.warning("report not delivered", **about, code=error.code().name, reason=error.details())
                    return
