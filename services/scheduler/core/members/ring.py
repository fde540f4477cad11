"""Which members a resource belongs to: consistent hashing, so that a change of members moves only what it has to."""

from collections.abc import Iterable

from uhashring import HashRing


class Ring:
    """Made anew whenever the members change; equal members give equal owners, whatever their order."""

    def __init__(self, members: Iterable[str], owners_per_key: int) -> None:
        names = sorted(members)
        self._members = len(names)
        self._per_key = owners_per_key
        self._ring = HashRing(nodes=names)
        self._known: dict[tuple[str, frozenset[str]], tuple[str, ...]] = {}

    def owners(self, key: str, without: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """As many members as a key may have, in the order in which they share its partitions.

        Those who come `without` some are the next ones on the ring.
        """
        if self._members == 0:
            return ()
        if (key, without) not in self._known:
            wanted = min(self._members, self._per_key + len(without))
            nodes = self._ring.range(key, size=wanted, unique=True)
            names = [node["nodename"] for node in nodes if node["nodename"] not in without]
            self._known[key, without] = tuple(names[: self._per_key])
        return self._known[key, without]
