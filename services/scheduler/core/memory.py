"""The memory of one server replica, as the scheduler counts it: every copy once, from the promise until it is gone."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class Memory(Generic[Key]):
    """In bytes. What an agent reports as free is without what it has set aside for loads under way: those must not be
    taken off a second time, so what is free is worked out from the capacity."""

    taken: int = 0
    """By all copies, those that are only promised included."""
    held: int = 0
    """By copies that the agent has confirmed."""
    _copies: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """Bytes taken and bytes held of each."""

    def take(self, copy: Key, size: int, *, held: bool) -> None:
        """Count a copy, in place of what was counted for it before."""
        self.release(copy)
        self._copies[copy] = (size, size if held else 0)
        self.taken += size
        self.held += size if held else 0

    def leaving(self, copy: Key) -> None:
        """The agent may free it from now on; until it says so, nobody else is promised it."""
        if copy in self._copies:
            self.take(copy, self._copies[copy][0], held=False)

    def release(self, copy: Key) -> None:
        taken, held = self._copies.pop(copy, (0, 0))
        self.taken -= taken
        self.held -= held

    def of(self, copy: Key) -> int:
        return self._copies.get(copy, (0, 0))[0]
