"""Ids of requests and pipelines: twelve bytes as twenty characters, unique among all processes, ordered by time."""

import itertools
import re
from typing import Final

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuv"
_PAIRS: Final = [first + second for first in _DIGITS for second in _DIGITS]
LENGTH: Final = 20
_PROCESS_BITS: Final = 40
_COUNTER_BITS: Final = 24
_COUNTER_MASK: Final = (1 << _COUNTER_BITS) - 1
_PROCESS_MASK: Final = (1 << _PROCESS_BITS) - 1
# Characters that hold nothing but bits of the process number.
_OWN: Final = slice(7, 14)


_OF_CALLERS: Final = re.compile(rb"[\x21-\x7e]{1,200}")


def key_id(given: bytes, own: str) -> str:
    """The last part of a record's key: the caller's id, made unique by our own. Ours alone where its would not do."""
    if given == own.encode() or _OF_CALLERS.fullmatch(given) is None:
        return own
    return f"{given.decode()}.{own}"


class Xids:
    """`process` tells processes apart: 40 bits, random. `start` is the counter's first value.

    Layout, most significant first: seconds since the epoch (32 bits), process (40), counter (24), four zero bits.
    """

    def __init__(self, process: int, start: int = 0) -> None:
        self._process = process & _PROCESS_MASK
        self._counter = itertools.count(start)
        self._own = _text(self._process << _COUNTER_BITS)[_OWN].encode()

    def new(self, epoch_seconds: int) -> str:
        head = (epoch_seconds & 0xFFFFFFFF) << _PROCESS_BITS | self._process
        return _text(head << _COUNTER_BITS | next(self._counter) & _COUNTER_MASK)

    def made(self, xid: bytes) -> bool:
        """Whether this process made the id."""
        return len(xid) == LENGTH and xid[_OWN] == self._own


def _text(number: int) -> str:
    """Base 32 with digits in ascending order, so that text sorts as the number does."""
    number <<= 4
    return "".join([_PAIRS[number >> shift & 0x3FF] for shift in range(90, -10, -10)])
