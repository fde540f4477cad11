"""When a join has what it needs, and when it never will."""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from services.dataflow.core.graph import Join, Slot
from services.dataflow.core.messages import Message


class Verdict(Enum):
    WAIT = "wait"
    READY = "ready"
    DEAD = "dead"


_WAIT, _READY, _DEAD = Verdict
_INNER, _OUTER = Join.INNER, Join.OUTER


class Absent:
    """Stands in a slot whose source came without the wanted tensors, or will never come."""


ABSENT: Final = Absent()
Value = Message | Absent | None
"""Of a slot; None as long as its source may still come."""


def verdict(join: Join, slots: Sequence[Slot], values: Sequence[Value]) -> Verdict:
    """Of the sources of one join. Without sources it is ready."""
    waiting = present = absent = 0
    for slot in slots:
        value = values[slot.index]
        if value is None:
            waiting += 1
        elif value is ABSENT:
            absent += 1
        else:
            present += 1
    if join is _INNER:
        needed, hopeless = absent == waiting == 0, absent > 0
    elif join is _OUTER:
        needed, hopeless = waiting == 0 and present > 0, absent == len(slots)
    else:
        needed, hopeless = present > 0, absent == len(slots)
    if needed or not slots:
        return _READY
    return _DEAD if hopeless else _WAIT
