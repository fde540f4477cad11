"""Callers that wait for a record, by its key."""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Final

from shared.errors import SeldonError
from shared.kafka.reader import Record
from shared.xid import Xids


@dataclass(frozen=True, slots=True)
class _Waiter:
    topics: frozenset[str]
    answer: "asyncio.Future[Record]"


class Match(Enum):
    ANSWERED = "answered"
    LATE = "late"
    """Our own request's, and nobody waits: its caller has gone or has an answer."""
    OTHER = "other"
    """Another gateway's, or no answer at all."""


class Waiting:
    """One entry per request in flight. The first record with a key on one of its topics wins."""

    def __init__(self, ids: Xids) -> None:
        self._ids: Final = ids
        self._waiters: dict[bytes, _Waiter] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def open(self, key: bytes, topics: frozenset[str]) -> "asyncio.Future[Record]":
        """A future of the answer's record. End it with `close`."""
        answer = asyncio.get_running_loop().create_future()
        self._waiters[key] = _Waiter(topics, answer)
        return answer

    def close(self, key: bytes) -> None:
        """Nobody waits for this key any more, whether it was answered or not."""
        waiter = self._waiters.pop(key, None)
        if waiter is not None and waiter.answer.done() and not waiter.answer.cancelled():
            # Looked at, so that nobody complains about a failure that came after its caller had gone.
            waiter.answer.exception()

    def take(self, record: Record, resource: bytes) -> Match:
        """Hand a record to whoever waits for it. `resource` is the one that the record's topic belongs to."""
        key = record.key
        if key is None:
            return Match.OTHER
        waiter = self._waiters.get(key)
        if waiter is None:
            own = key.split(b".", 2)[1:2] == [resource] and self._ids.made(key.rpartition(b".")[2])
            return Match.LATE if own else Match.OTHER
        if record.topic not in waiter.topics:
            return Match.OTHER
        if waiter.answer.done():
            return Match.LATE
        waiter.answer.set_result(record)
        return Match.ANSWERED

    def fail_all(self, error: SeldonError) -> None:
        for waiter in self._waiters.values():
            if not waiter.answer.done():
                waiter.answer.set_exception(error)
