"""One request on its way through the graph of one pipeline version."""

from collections.abc import Callable
from typing import Final

from services.dataflow.core.emitter import Failure, partition_of
from services.dataflow.core.finished import Roots
from services.dataflow.core.joining import Value
from services.dataflow.core.records import Place
from services.dataflow.core.timers import Timer
from shared.kafka.headers import Headers


class SharedPlace:
    """Of a record that concerns several requests: finished when all of them are."""

    __slots__ = ("left", "place")

    def __init__(self, place: Place, left: int) -> None:
        self.place = place
        self.left = left


class RecordShare:
    """A record, or a request's share of one."""

    __slots__ = ("headers", "place", "size", "visit")

    def __init__(self, place: Place | SharedPlace, headers: Headers, visit: int | None, size: int) -> None:
        self.place = place
        self.headers = headers
        """Of the record; of a shared one only those that its requests did not have yet."""
        self.visit = visit
        self.size = size
        """Bytes of its value."""


class Request:
    """The state of one request."""

    __slots__ = (
        "answered",
        "deadline",
        "failures",
        "headers",
        "held",
        "key",
        "partition",
        "places",
        "roots",
        "seen",
        "shared",
        "size",
        "timer",
        "values",
        "windows",
    )

    def __init__(self, key: bytes, slots: int) -> None:
        self.key: Final = key
        self.partition: Final = partition_of(key)
        self.values: list[Value] = [None] * slots
        self.headers: Headers = ()
        """Of its newest record."""
        self.places: list[Place] = []
        self.shared: list[SharedPlace] = []
        self.size = 0
        """Bytes of the values of its records."""
        self.roots: Roots = ()
        self.held: list[Callable[[], None]] = []
        """What came before what the request began with, as it does when records are read again."""
        self.answered = False
        self.deadline: int | None = None
        self.seen = 0
        """When its newest record was read."""
        self.timer: Timer | None = None
        self.windows: dict[int, Timer] = {}
        """Of nodes that wait for more than they have."""
        self.failures: dict[int, Failure] = {}
        """By step: what its model said instead of an answer."""
