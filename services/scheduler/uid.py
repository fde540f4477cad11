"""Identifiers of pipeline versions."""

import secrets
import time
from typing import Final

from shared.xid import Xids

_PROCESS_BITS: Final = 40
_START_BITS: Final = 23


class UidMaker:
    """Each call gives one that no scheduler has given before; they sort by the time they were made."""

    def __init__(self) -> None:
        self._ids = Xids(secrets.randbits(_PROCESS_BITS), secrets.randbits(_START_BITS))

    def __call__(self) -> str:
        return self._ids.new(int(time.time()))
