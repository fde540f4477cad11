"""What the scheduler says about models: which serve, which are on their way, which are not there."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb


class Standing(Enum):
    SERVES = "serves"
    COMING = "coming"
    """Being loaded, or about to be."""
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class _Told:
    standing: Standing
    reason: str
    round: int


_COMING: Final = frozenset({pb.ModelStatus.ModelStateUnknown, pb.ModelStatus.ModelProgressing})
_GONE: Final = frozenset(
    {pb.ModelStatus.ModelTerminating, pb.ModelStatus.ModelTerminated, pb.ModelStatus.ModelTerminateFailed}
)


class ModelStates:
    """By name. Each subscription is a round: the scheduler says first how every model stands, then what changes."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self._round = 0
        self._complete = False

    def begin(self) -> int:
        """A subscription is opened; returns its round."""
        self._round += 1
        return self._round

    def complete(self, round: int) -> None:
        """Every model of this round has been told: those that were not are no more."""
        if round == self._round:
            self._told = {name: told for name, told in self._told.items() if told.round == round}
            self._complete = True

    def tell(self, message: pb.ModelStatusResponse) -> None:
        if message.versions:
            standing, reason = _standing(message)
            self._told[message.modelName] = _Told(standing, reason, self._round)

    def standing(self, model: str) -> Standing:
        """A model that nobody has spoken of counts as serving until it is known that nobody will."""
        told = self._told.get(model)
        if told is not None:
            return told.standing
        return Standing.ABSENT if self._complete else Standing.SERVES

    def reason(self, model: str) -> str:
        """Why it does not serve, for a sentence."""
        told = self._told.get(model)
        return told.reason if told is not None and told.reason else "is not loaded"


def _standing(message: pb.ModelStatusResponse) -> tuple[Standing, str]:
    status = message.versions[-1].state
    if message.deleted or status.state in _GONE:
        return Standing.ABSENT, "is not loaded"
    if status.state == pb.ModelStatus.ModelAvailable or status.availableReplicas:
        return Standing.SERVES, ""
    name = pb.ModelStatus.ModelState.Name(status.state)
    reason = f"is in state {name}" + (f": {status.reason}" if status.reason else "")
    return Standing.COMING if status.state in _COMING else Standing.ABSENT, reason
