"""The state of a request in a graph without cycles."""

from enum import Enum

from services.dataflow.core.request import Request


class Status(Enum):
    WAITING = "waiting"
    IN_BATCH = "in batch"
    """Fired, into a batch that is still open."""
    FIRED = "fired"
    DEAD = "dead"
    """Will never fire."""


class PassRequest(Request):
    __slots__ = ("notes", "open", "sent", "status")

    def __init__(self, key: bytes, nodes: int, slots: int) -> None:
        super().__init__(key, slots)
        self.status = [Status.WAITING] * nodes
        self.open = nodes
        """Nodes that neither emitted nor died."""
        self.sent: set[int] = set()
        """Nodes that an earlier run of this version emitted for."""
        self.notes: dict[int, str] = {}
        """By node: why it cannot fire although its sources came, or did not come in time."""
