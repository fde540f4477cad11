"""One bound over the records of all models together: what was read and is not yet done with."""

from typing import Final


class Memory:
    """Bytes of records that are held. `over` from the moment that `limit` is reached until half of it is free again.

    While it is over, only models that hold nothing are read on for: so all go on, and one that is slow stops itself.
    """

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self.held = 0
        self.over = False

    def take(self, size: int) -> None:
        self.held += size
        if self.held >= self.limit:
            self.over = True

    def give(self, size: int) -> None:
        self.held -= size
        if self.held <= self.limit // 2:
            self.over = False
