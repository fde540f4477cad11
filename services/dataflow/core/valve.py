"""How much may be under way at a time: whether more requests may be let in."""

from dataclasses import dataclass
from typing import Final, NamedTuple

DEFAULT_MOST_REQUESTS: Final = 10_000
DEFAULT_MOST_BYTES: Final = 128 * 1024 * 1024
_OPENS_AT: Final = 0.75
"""Of both limits; below them, or it would open and close with every record."""


class Load(NamedTuple):
    """Of requests that have begun. Of what belongs to requests that have not been let in yet, nothing counts: it
    cannot go away before they are."""

    requests: int = 0
    bytes: int = 0
    """Of the records that they hold."""


NOTHING: Final = Load()


@dataclass(slots=True)
class Valve:
    """Closes when either limit is reached. What is let in at once may go beyond it."""

    most_requests: int
    most_bytes: int
    requests: int = 0
    bytes: int = 0
    is_open: bool = True

    def change(self, before: Load, after: Load) -> None:
        """The load of one of those who share the valve has changed."""
        self.requests += after.requests - before.requests
        self.bytes += after.bytes - before.bytes
        if self.is_open:
            self.is_open = self.requests < self.most_requests and self.bytes < self.most_bytes
        else:
            few = self.requests <= self.most_requests * _OPENS_AT
            self.is_open = few and self.bytes <= self.most_bytes * _OPENS_AT
