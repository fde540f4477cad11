"""Problems with records: all counted, few logged."""

import time
from typing import Final

from services.dataflow import metrics
from services.dataflow.core.records import Problem
from shared.logs import logger
from shared.tracing.log_fields import of_request

_SECONDS_BETWEEN: Final = 1.0
_log = logger("flow")


class ProblemLog:
    """At most one line a second for each kind, with the number of those that were left out before it."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def note(self, pipeline: str, problem: Problem) -> None:
        kind = problem.kind
        metrics.PROBLEMS.labels(kind).inc()
        now = time.monotonic()
        if now - self._last.get(kind, -_SECONDS_BETWEEN) < _SECONDS_BETWEEN:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._last[kind] = now
        left_out, about = self._left_out.pop(kind, 0), of_request(problem.headers)
        fields = {"pipeline": pipeline, "kind": kind, "reason": problem.sentence, "left_out": left_out, **about}
        if problem.cause is None:
            _log.warning("problem", **fields)
        else:
            _log.error("problem", exc_info=problem.cause, **fields)
