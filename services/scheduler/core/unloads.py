"""Which answer to an unload belongs to which: answers name a version, and no instruction."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class Unloads(Generic[Key]):
    """The unloads that one agent was told over its subscription and has not answered.

    One that was repeated may be answered twice, the second time after the copy was loaded again: such an answer says
    nothing about the new copy. An agent works on one copy in the order in which it is told.
    """

    _unanswered: Counter[Key] = field(default_factory=Counter)
    _outdated: Counter[Key] = field(default_factory=Counter)
    """Of these, those told before the last load."""

    def told(self, copy: Key) -> None:
        self._unanswered[copy] += 1

    def load_told(self, copy: Key) -> None:
        """Unloads up to now are about the copy before."""
        if copy in self._unanswered:
            self._outdated[copy] = self._unanswered[copy]

    def load_ended(self, copy: Key) -> None:
        """Whatever was told before the load has been answered, or never will be."""
        self._unanswered[copy] -= self._outdated.pop(copy, 0)
        if self._unanswered[copy] <= 0:
            del self._unanswered[copy]

    def answered(self, copy: Key) -> bool:
        """Take note of an answer. False when it is about an earlier copy."""
        outdated = copy in self._outdated
        for counted in (self._unanswered, self._outdated):
            if copy in counted:
                counted[copy] -= 1
                if counted[copy] <= 0:
                    del counted[copy]
        return not outdated
