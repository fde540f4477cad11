"""Which members a resource belongs to: consistent hashing, so that a change of members moves only what it has to."""

from collections.abc import Iterable

from uhashring import HashRing


class Ring:
    """Made anew whenever the members change; equal members give equal owners, whatever their order."""

    def __init__(self, members: Iterable[str], owners_per_key: int) -> None:
        names = sorted(members)
        self._size = min(len(names), owners_per_key)
        self._ring = HashRing(nodes=names)
        self._known: dict[str, tuple[str, ...]] = {}

    def owners(self, key: str) -> tuple[str, ...]:
        """As many members as a key may have, in the order in which they share its partitions."""
        if self._size == 0:
            return ()
        if key not in self._known:
            nodes = self._ring.range(key, size=self._size, unique=True)
            self._known[key] = tuple(node["nodename"] for node in nodes)
        return self._known[key]
