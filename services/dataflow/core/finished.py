"""Requests that are finished, remembered for a while so that late and duplicate records of theirs start nothing."""

from typing import Final, TypeAlias

_MOST: Final = 100_000

Roots: TypeAlias = tuple[str | int, ...]
"""What a request began with: sources, each followed by the hash of the value that came from there."""


class Finished:
    def __init__(self, most: int = _MOST) -> None:
        self._roots: dict[bytes, Roots] = {}
        self._most = most

    def add(self, key: bytes, roots: Roots) -> None:
        self._roots.pop(key, None)
        self._roots[key] = roots
        if len(self._roots) > self._most:
            del self._roots[next(iter(self._roots))]

    def __contains__(self, key: bytes) -> bool:
        return key in self._roots

    def reused(self, key: bytes, source: str, fingerprint: int) -> bool:
        """Is this another request under a key that was used before? Then it is forgotten that the key was."""
        roots = self._roots.get(key, ())
        if not differs(roots, source, fingerprint):
            return False
        del self._roots[key]
        return True


def differs(roots: Roots, source: str, fingerprint: int) -> bool:
    """Did something else come from this source before?"""
    return source in roots and roots[roots.index(source) + 1] != fingerprint
