"""Models that lack a place, found by what they wait for, so that an event costs what it helps and no more."""

from bisect import bisect_right, insort
from collections.abc import Hashable, Iterable, Iterator


class Unplaced:
    """Models by the replicas that would take a copy if they had more memory. Memory is in bytes.

    Whatever else keeps a model from a place (capabilities, bounds, agents that are away) changes with a whole server,
    and then all of them are looked at again.
    """

    def __init__(self) -> None:
        self._waits: dict[str, tuple[int, int, frozenset[Hashable]]] = {}
        """By model: its turn, what a copy needs, and the replicas that lack just that."""
        self._by_replica: dict[Hashable, list[tuple[int, str]]] = {}
        self._turn = 0

    def __contains__(self, model: object) -> bool:
        return model in self._waits

    def __len__(self) -> int:
        return len(self._waits)

    def __iter__(self) -> Iterator[str]:
        """By their names; a copy, so that they may be placed meanwhile."""
        return iter(sorted(self._waits))

    def add(self, model: str, memory: int, lacking: Iterable[Hashable]) -> None:
        """The model waits for `memory` on one of `lacking`. It keeps its turn when it waited before."""
        turn = self._forget(model)
        if turn is None:
            self._turn += 1
            turn = self._turn
        replicas = frozenset(lacking)
        self._waits[model] = turn, memory, replicas
        for replica in replicas:
            insort(self._by_replica.setdefault(replica, []), (memory, model))

    def discard(self, model: str) -> None:
        self._forget(model)

    def fitting(self, replica: Hashable, free: int) -> list[str]:
        """Those that wait for no more than `free` on this replica, whoever has waited longest first."""
        waiting = self._by_replica.get(replica, [])
        fits = waiting[: bisect_right(waiting, free, key=lambda entry: entry[0])]
        return sorted((model for _, model in fits), key=lambda model: self._waits[model][0])

    def least(self, replica: Hashable) -> int | None:
        """The fewest bytes that anybody waits for on this replica; None when nobody does."""
        waiting = self._by_replica.get(replica)
        return waiting[0][0] if waiting else None

    def _forget(self, model: str) -> int | None:
        """Its turn; None when it did not wait."""
        if model not in self._waits:
            return None
        turn, memory, replicas = self._waits.pop(model)
        for replica in replicas:
            waiting = self._by_replica[replica]
            waiting.remove((memory, model))
            if not waiting:
                del self._by_replica[replica]
        return turn
