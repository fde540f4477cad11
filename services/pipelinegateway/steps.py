"""Whether the models that an answer needs can be asked. A call for one that is not there is answered at once."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping
from typing import Final

from services.pipelinegateway.core.model_states import ModelStates, Standing
from services.pipelinegateway.models_behind import ModelsBehind
from shared.errors import Unavailable

_LOOK_SECONDS: Final = 1.0
"""How long it is remembered that Envoy does not know a model, and the longest time between two looks."""
_MOST_REMEMBERED: Final = 1000


class Steps:
    """`states` are the scheduler's words; where they are no plain yes, Envoy is asked.

    A model may serve all the same: one that is being updated goes on with the version before.
    """

    def __init__(self, states: ModelStates, behind: ModelsBehind) -> None:
        self._states = states
        self._behind = behind
        self.changed: Final = asyncio.Event()
        """Set and cleared when `states` change."""
        self._looked: dict[str, tuple[float, bool]] = {}

    def in_doubt(self, models: Collection[str]) -> dict[str, str]:
        """Those that do not serve in the scheduler's words, each with what keeps it."""
        standing = self._states.standing
        return {each: self._states.reason(each) for each in models if standing(each) is not Standing.SERVES}

    async def usable(self, models: Collection[str], what: str, headers: Mapping[str, str]) -> None:
        """Return when all of the models can be asked; wait for those that are on their way.

        Raises Unavailable that names a model which is not there. `what` needs them; `headers` say for whom Envoy is
        asked.
        """
        while doubtful := self.in_doubt(models):
            missing = await self._missing(doubtful, headers)
            for model in missing:
                if self._states.standing(model) is Standing.ABSENT:
                    raise Unavailable(f"{what} cannot answer: step {model} {self._states.reason(model)}")
            if not missing:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self.changed.wait()

    async def _missing(self, models: Collection[str], headers: Mapping[str, str]) -> list[str]:
        now = time.monotonic()
        unknown = [each for each in models if now - self._looked.get(each, (float("-inf"), False))[0] > _LOOK_SECONDS]
        if unknown:
            missing = set(await self._behind.not_ready(unknown, headers))
            if len(self._looked) > _MOST_REMEMBERED:
                self._looked.clear()
            now = time.monotonic()
            self._looked.update({each: (now, each not in missing) for each in unknown})
        return [each for each in models if not self._looked.get(each, (now, True))[1]]
