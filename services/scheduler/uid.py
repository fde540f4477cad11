"""Identifiers of pipeline versions: 20 characters that sort by the time they were made."""

import itertools
import os
import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuv"
_LENGTH: Final = 20
_COUNTER_BITS: Final = 24


class UidMaker:
    """Seconds since the epoch, three random bytes for this process, its number, and a counter: 12 bytes."""

    def __init__(self) -> None:
        self._process = secrets.token_bytes(3) + (os.getpid() & 0xFFFF).to_bytes(2, "big")
        self._counter = itertools.count(secrets.randbits(_COUNTER_BITS - 1))

    def __call__(self) -> str:
        count = next(self._counter) & ((1 << _COUNTER_BITS) - 1)
        raw = int(time.time()).to_bytes(4, "big") + self._process + count.to_bytes(3, "big")
        number = int.from_bytes(raw, "big") << 4  # 96 bits in 20 characters of 5 bits
        return "".join(_ALPHABET[number >> (5 * place) & 31] for place in reversed(range(_LENGTH)))
