"""The instructions that bring members to what is wanted.

`arrange` may be called at any time and as often as one likes; when nothing is to be said it says nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from services.scheduler.core.members.fleet import Fleet
from services.scheduler.core.members.part import Hold, Part, Phase
from shared.backoff import exponential

HAND_OVER_SECONDS: Final = 15.0
"""How long a member may take to let go of what others are to take over."""
REPEAT_SECONDS: Final = 120.0
"""An instruction without an answer is sent again after this time: the answer may have been lost."""
MAX_ATTEMPTS: Final = 10
"""Attempts of one member at one version; it starts over when it reconnects or is given another version."""
_LEAVING: Final = frozenset({Phase.STOPPING, Phase.STOP_FAILED})
_DELAYS: Final = tuple(islice(exponential(2.0, 60.0), MAX_ATTEMPTS))


class Operation(Enum):
    """What a member is told, and what it answers to; the names are those on the wire."""

    CREATE = "Create"
    DELETE = "Delete"
    REBALANCE = "Rebalance"
    """A member's own report: it is moving partitions among its threads."""
    READY = "Ready"
    """A member's own report: it has done so."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """`owners` says who shares the resource; it is empty in a Delete."""

    part: Part
    member: str
    operation: Operation
    timestamp: int
    owners: tuple[str, ...] = ()
    with_topics: bool = False
    """The last one to let go removes the resource's topics."""
    again: bool = False
    """An earlier attempt failed or stayed without an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a member reports about an instruction; it repeats the instruction's timestamp."""

    member: str
    resource: str
    version: int
    timestamp: int
    operation: Operation
    success: bool
    reason: str = ""
    uid: str = ""
    """Of the pipeline version; models have none."""


def arrange(
    fleet: Fleet,
    key: str,
    parts: Sequence[Part],
    now: float,
    *,
    in_use: frozenset[str] = frozenset(),
    clean: Part | None = None,
) -> list[Instruction]:
    """One round over one resource: its versions, oldest first, which all belong to the owners of `key`.

    Members that are `in_use` are not told to stop yet. The topics of `clean` are removed when it ends.
    """
    if not fleet.released:
        return []
    round_ = _Round(fleet, fleet.owners(key), in_use, clean, fleet.stamp(now), now)
    told: list[Instruction] = []
    for place in reversed(range(len(parts))):  # newest first: an older version would finish what it has
        part = parts[place]
        told += round_.stop(part, newer=parts[place + 1 :])
        part.ended = part.ended or (not part.wanted and not part.holds)
    wanted = [part for part in parts if part.wanted]
    if fleet.exclusive and any(_in_the_way(hold) for part in parts for hold in part.holds.values()):
        return told
    for part in wanted:
        told += round_.start(part)
    return told


def was_asked(part: Part, answer: Answer) -> bool:
    """Whether an answer belongs to what its sender was last told, and not to an earlier round."""
    hold = part.holds.get(answer.member)
    return hold is not None and hold.phase is not Phase.UNKNOWN and hold.timestamp == answer.timestamp


def enter(part: Part, answer: Answer, now: float) -> bool:
    """Take in an answer. False when nobody waits for it."""
    hold = part.holds.get(answer.member)
    if hold is None or not was_asked(part, answer):
        return False
    stopping = hold.phase in _LEAVING
    if stopping != (answer.operation is Operation.DELETE):
        return False
    part.changed = now
    hold.reason = answer.reason
    if not answer.success:
        hold.phase = Phase.STOP_FAILED if stopping else Phase.FAILED
        hold.attempts += 1
        hold.due = now + _DELAYS[hold.attempts - 1] if hold.attempts < MAX_ATTEMPTS else None
    elif stopping:
        del part.holds[answer.member]
    else:
        hold.phase = Phase.REBALANCING if answer.operation is Operation.REBALANCE else Phase.READY
        hold.served, hold.attempts, hold.due = True, 0, None
    return True


def joined(member: str, part: Part, now: float) -> None:
    """A member that connects may hold anything from before."""
    part.holds[member] = Hold(Phase.UNKNOWN, now)


def left(member: str, part: Part, now: float) -> None:
    """What a member held is free once it is gone."""
    if part.holds.pop(member, None) is not None:
        part.changed = now


def assume_unchanged(fleet: Fleet, key: str, parts: Iterable[Part]) -> None:
    """With the same members as before a restart of the scheduler, each goes on with the share that it had."""
    for part in parts:
        for hold in part.holds.values():
            if hold.phase is Phase.UNKNOWN:
                hold.owners = fleet.owners(key)


def next_due(parts: Iterable[Part], now: float) -> float | None:
    """When, after now, `arrange` has something to do although nothing happens."""
    dues = (due for part in parts for hold in part.holds.values() for due in _dues(hold))
    return min((due for due in dues if due > now), default=None)


def is_released(part: Part) -> bool:
    """Nobody runs it, except those who failed to stop so often that they are not asked again."""
    return not part.wanted and all(_gave_up(hold) for hold in part.holds.values())


@dataclass(frozen=True, slots=True)
class _Round:
    fleet: Fleet
    owners: tuple[str, ...]
    in_use: frozenset[str]
    clean: Part | None
    timestamp: int
    now: float

    def stop(self, part: Part, newer: Sequence[Part]) -> Iterator[Instruction]:
        remover = self._remover(part)
        others_left = all(_gave_up(hold) for member, hold in part.holds.items() if member != remover)
        for member, hold in sorted(part.holds.items()):
            if hold.phase in _LEAVING and hold.reads and self.now >= hold.since + HAND_OVER_SECONDS:
                hold.abandoned = True
            if member == remover and not others_left:
                continue
            if hold.phase not in _LEAVING:
                if self._must_go(part, member, hold):
                    hold.reads = not any(each.is_current(member, self.owners) for each in newer if each.wanted)
                    yield self._stop(part, member, hold, with_topics=member == remover)
            elif part.wanted and member in self.owners:
                hold.due = None  # it is to start again, once it has answered or time is up
            elif not _gave_up(hold) and (hold.due is None or self.now >= hold.due):
                yield self._stop(part, member, hold, with_topics=member == remover)

    def _remover(self, part: Part) -> str | None:
        """Who removes the topics: the last one to be told, as nobody else may be using them then."""
        if part is not self.clean or part.wanted or part.ended:
            return None
        return max((member for member, hold in part.holds.items() if not _gave_up(hold)), default=None)

    def _must_go(self, part: Part, member: str, hold: Hold) -> bool:
        if not part.wanted or member not in self.owners:
            return member not in self.in_use
        if not self.fleet.exclusive or hold.owners == self.owners:
            return False
        if hold.phase is Phase.UNKNOWN:
            return len(self.owners) > 1
        return not _keeps_all(member, hold.owners, self.owners)

    def _stop(self, part: Part, member: str, hold: Hold, *, with_topics: bool) -> Instruction:
        again = hold.phase in _LEAVING
        if not again:
            hold.since, hold.attempts, hold.reason = self.now, 0, ""
        if hold.phase is not Phase.STOPPING:  # else the answer to it may still come
            hold.timestamp = self.timestamp
        hold.phase, hold.due = Phase.STOPPING, self.now + REPEAT_SECONDS
        part.changed = self.now
        return Instruction(part, member, Operation.DELETE, hold.timestamp, with_topics=with_topics, again=again)

    def start(self, part: Part) -> Iterator[Instruction]:
        for member in self.owners:
            hold = part.holds.get(member)
            if hold is None:
                yield self._start(part, member, None)
            elif hold.phase is Phase.STOPPING:
                if hold.abandoned:
                    yield self._start(part, member, None)
            elif hold.phase in (Phase.UNKNOWN, Phase.STOP_FAILED):
                yield self._start(part, member, None)
            elif (hold.version, hold.owners) != (part.version, self.owners) or self._is_due(hold):
                yield self._start(part, member, hold)

    def _is_due(self, hold: Hold) -> bool:
        return hold.due is not None and self.now >= hold.due

    def _start(self, part: Part, member: str, before: Hold | None) -> Instruction:
        made = Hold(Phase.STARTING, self.now, part.version, self.owners, self.timestamp)
        again = before is not None and (before.version, before.owners) == (part.version, self.owners)
        if before is not None:
            made.served = before.served
            if again:
                made.attempts, made.reason, made.since = before.attempts, before.reason, before.since
                if before.phase is Phase.STARTING:  # the answer to it may still come
                    made.timestamp = before.timestamp
        made.due = self.now + REPEAT_SECONDS
        part.holds[member] = made
        part.changed = self.now
        return Instruction(part, member, Operation.CREATE, made.timestamp, self.owners, again=again)


def _in_the_way(hold: Hold) -> bool:
    return hold.phase in _LEAVING and hold.reads and not hold.abandoned


def _gave_up(hold: Hold) -> bool:
    return hold.phase is Phase.STOP_FAILED and hold.attempts >= MAX_ATTEMPTS


def _dues(hold: Hold) -> Iterator[float]:
    if _in_the_way(hold):
        yield hold.since + HAND_OVER_SECONDS
    if hold.due is not None:
        yield hold.due


def _keeps_all(member: str, before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether a member's partitions, those that leave its position when divided by the number of owners, all stay."""
    if member not in before:
        return not before
    return len(before) % len(after) == 0 and before.index(member) % len(after) == after.index(member)
