"""What the receiver remembers of the events it was sent."""

from collections import deque
from enum import Enum
from typing import Final

MOST_EVENTS: Final = 1_000
"""Kept at most; the oldest give way. A deployment with the usual interval sends three a day."""


class RecordLevel(Enum):
    """What is remembered: nothing, how many events there were, or the events themselves."""

    NONE = "NONE"
    SUMMARY = "SUMMARY"
    ALL = "ALL"


class Record:
    """In memory only."""

    def __init__(self, level: RecordLevel) -> None:
        self._level = level
        self._events: deque[bytes] = deque(maxlen=MOST_EVENTS)
        self._received = 0

    @property
    def dropped(self) -> int:
        """Events that gave way to later ones."""
        return self._received - len(self._events) if self._level is RecordLevel.ALL else 0

    def add(self, event: bytes) -> None:
        """`event` is JSON."""
        self._received += 1
        if self._level is RecordLevel.ALL:
            self._events.append(event)

    def json(self) -> bytes:
        """A JSON list: the events in order of arrival, their number, or nothing, as the level says."""
        match self._level:
            case RecordLevel.ALL:
                return b"[" + b",".join(self._events) + b"]"
            case RecordLevel.SUMMARY:
                return b'[{"totalEvents":%d}]' % self._received
            case RecordLevel.NONE:
                return b"[]"
