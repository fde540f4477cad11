"""Instructions that wait until what they follow from is on disk."""

from collections.abc import Hashable, Iterator

from services.scheduler.core.effects import Instruction, Tell


class Unsent:
    """In order. Of two about the same thing for the same peer only the later one is kept: it says what holds now."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, tuple[int, Instruction]] = {}

    def add(self, instruction: Instruction, after: int) -> None:
        """Keep it until `after` changes are stored."""
        key = _about(instruction)
        self._waiting.pop(key, None)
        self._waiting[key] = after, instruction

    def up_to(self, stored: int) -> Iterator[Instruction]:
        """Give out, and forget, what waits for no more than `stored` changes."""
        for key, (after, instruction) in list(self._waiting.items()):
            if after <= stored:
                del self._waiting[key]
                yield instruction


def _about(instruction: Instruction) -> Hashable:
    if isinstance(instruction, Tell):
        uid = instruction.pipeline.uid if instruction.pipeline is not None else ""
        return instruction.kind, instruction.instruction.member, instruction.resource, uid
    return instruction.to, instruction.version
