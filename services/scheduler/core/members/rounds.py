"""The instructions that bring members to what is wanted.

`arrange` may be called at any time and as often as one likes; when nothing is to be said it says nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.scheduler.core.members.deployment import Assignment, Deployment, Phase
from services.scheduler.core.members.fleet import Fleet
from services.scheduler.core.retries import MEMBER_FAILED, UNANSWERED
from shared import timing

_LEAVING: Final = frozenset({Phase.STOPPING, Phase.STOP_FAILED})


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

    deployment: Deployment
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
    deployments: Sequence[Deployment],
    now: float,
    *,
    in_use: frozenset[str] = frozenset(),
    clean: Deployment | None = None,
) -> list[Instruction]:
    """One round over one resource: its versions, oldest first, which all belong to the owners of `key`.

    Members that are `in_use` are not told to stop yet. The topics of `clean` are removed when it ends.
    """
    if not fleet.released:
        return []
    for member in _silent(deployments, now):
        fleet.pass_over(key, member)
    round_ = _Round(fleet, fleet.owners(key), in_use, clean, fleet.stamp(now), now)
    told: list[Instruction] = []
    for place in reversed(range(len(deployments))):  # newest first: an older version would finish what it has
        deployment = deployments[place]
        told += round_.stop(deployment, newer=deployments[place + 1 :])
        deployment.ended = deployment.ended or (not deployment.wanted and not deployment.assignments)
    wanted = [deployment for deployment in deployments if deployment.wanted]
    if fleet.exclusive and any(
        _in_the_way(assignment) for deployment in deployments for assignment in deployment.assignments.values()
    ):
        return told
    for deployment in wanted:
        told += round_.start(deployment)
    return told


def was_asked(deployment: Deployment, answer: Answer) -> bool:
    """Whether an answer belongs to what its sender was last told, and not to an earlier round."""
    assignment = deployment.assignments.get(answer.member)
    return assignment is not None and assignment.phase is not Phase.UNKNOWN and assignment.timestamp == answer.timestamp


def enter(fleet: Fleet, key: str, deployment: Deployment, answer: Answer, now: float) -> bool:
    """Take in an answer about what has this key. False when nobody waits for it."""
    assignment = deployment.assignments.get(answer.member)
    if assignment is None or not was_asked(deployment, answer):
        return False
    stopping = assignment.phase in _LEAVING
    if stopping != (answer.operation is Operation.DELETE):
        return False
    deployment.changed = now
    assignment.reason, assignment.told = answer.reason, 0
    if not answer.success:
        assignment.phase = Phase.STOP_FAILED if stopping else Phase.FAILED
        assignment.attempts += 1
        assignment.due = now + MEMBER_FAILED.after(assignment.attempts)
    elif stopping:
        del deployment.assignments[answer.member]
    else:
        fleet.take_back(key, answer.member)
        rebalances = answer.operation is Operation.REBALANCE
        assignment.phase = Phase.REBALANCING if rebalances else Phase.READY
        assignment.served, assignment.attempts = True, 0
        assignment.due = now + UNANSWERED.first if rebalances else None
    return True


def joined(member: str, deployment: Deployment, now: float) -> None:
    """A member that connects may hold anything from before."""
    deployment.assignments[member] = Assignment(Phase.UNKNOWN, now)


def left(member: str, deployment: Deployment, now: float) -> None:
    """What a member held is free once it is gone."""
    if deployment.assignments.pop(member, None) is not None:
        deployment.changed = now


def assume_unchanged(fleet: Fleet, key: str, deployments: Iterable[Deployment]) -> None:
    """With the same members as before a restart of the scheduler, each goes on with the share that it had."""
    for deployment in deployments:
        for assignment in deployment.assignments.values():
            if assignment.phase is Phase.UNKNOWN:
                assignment.owners = fleet.owners(key)


def next_due(deployments: Iterable[Deployment], now: float) -> float | None:
    """When, after now, `arrange` has something to do although nothing happens."""
    dues = (
        due for deployment in deployments for assignment in deployment.assignments.values() for due in _dues(assignment)
    )
    return min((due for due in dues if due > now), default=None)


def is_released(deployment: Deployment, now: float) -> bool:
    """Nobody runs it, except those who were told to stop so long ago that nobody waits for them any more."""
    return not deployment.wanted and all(_is_left_behind(each, now) for each in deployment.assignments.values())


def hurry(deployment: Deployment, now: float) -> None:
    """Somebody asks again: whatever is tried again later is due at once."""
    for assignment in deployment.assignments.values():
        if assignment.due is not None:
            assignment.due, assignment.attempts = now, 0


def is_due(deployment: Deployment, now: float) -> bool:
    """Whether a member is to be told again."""
    return any(each.due is not None and each.due <= now for each in deployment.assignments.values())


def _silent(deployments: Iterable[Deployment], now: float) -> Iterator[str]:
    """Those who were told to start and have answered nothing for too long."""
    for deployment in deployments:
        for member, assignment in deployment.assignments.items():
            if assignment.phase is Phase.STARTING and now >= assignment.since + timing.MEMBER_PATIENCE:
                yield member


@dataclass(frozen=True, slots=True)
class _Round:
    fleet: Fleet
    owners: tuple[str, ...]
    in_use: frozenset[str]
    clean: Deployment | None
    timestamp: int
    now: float

    def stop(self, deployment: Deployment, newer: Sequence[Deployment]) -> Iterator[Instruction]:
        remover = self._remover(deployment)
        others_left = all(
            _is_left_behind(assignment, self.now)
            for member, assignment in deployment.assignments.items()
            if member != remover
        )
        for member, assignment in sorted(deployment.assignments.items()):
            if assignment.phase in _LEAVING and self.now >= assignment.since + timing.HAND_OVER:
                assignment.abandoned = True
            if member == remover and not others_left:
                continue
            if assignment.phase not in _LEAVING:
                if self._must_go(deployment, member, assignment):
                    assignment.reads = not any(each.is_current(member, self.owners) for each in newer if each.wanted)
                    yield self._stop(deployment, member, assignment, with_topics=member == remover)
            elif deployment.wanted and member in self.owners:
                assignment.due = None  # it is to start again, once it has answered or time is up
            elif assignment.due is None or self.now >= assignment.due:
                yield self._stop(deployment, member, assignment, with_topics=member == remover)

    def _remover(self, deployment: Deployment) -> str | None:
        """Who removes the topics: the last one to be told, as nobody else may be using them then."""
        if deployment is not self.clean or deployment.wanted or deployment.ended:
            return None
        return max(
            (member for member, each in deployment.assignments.items() if not _is_left_behind(each, self.now)),
            default=None,
        )

    def _must_go(self, deployment: Deployment, member: str, assignment: Assignment) -> bool:
        if not deployment.wanted or member not in self.owners:
            return member not in self.in_use
        if not self.fleet.exclusive or assignment.owners == self.owners:
            return False
        if assignment.phase is Phase.UNKNOWN:
            return len(self.owners) > 1
        return not _keeps_all(member, assignment.owners, self.owners)

    def _stop(self, deployment: Deployment, member: str, assignment: Assignment, *, with_topics: bool) -> Instruction:
        again = assignment.phase in _LEAVING
        if not again:
            assignment.since, assignment.attempts, assignment.reason = self.now, 0, ""
        if assignment.phase is not Phase.STOPPING:  # else the answer to it may still come
            assignment.timestamp, assignment.told = self.timestamp, 0
        assignment.told += 1
        assignment.phase, assignment.due = Phase.STOPPING, self.now + UNANSWERED.after(assignment.told)
        deployment.changed = self.now
        return Instruction(
            deployment, member, Operation.DELETE, assignment.timestamp, with_topics=with_topics, again=again
        )

    def start(self, deployment: Deployment) -> Iterator[Instruction]:
        for member in self.owners:
            assignment = deployment.assignments.get(member)
            if assignment is None:
                yield self._start(deployment, member, None)
            elif assignment.phase is Phase.STOPPING:
                if assignment.abandoned:
                    yield self._start(deployment, member, None)
            elif assignment.phase in (Phase.UNKNOWN, Phase.STOP_FAILED):
                yield self._start(deployment, member, None)
            elif (assignment.version, assignment.owners) != (deployment.version, self.owners) or self._is_due(
                assignment
            ):
                yield self._start(deployment, member, assignment)

    def _is_due(self, assignment: Assignment) -> bool:
        return assignment.due is not None and self.now >= assignment.due

    def _start(self, deployment: Deployment, member: str, before: Assignment | None) -> Instruction:
        made = Assignment(Phase.STARTING, self.now, deployment.version, self.owners, self.timestamp)
        again = before is not None and (before.version, before.owners) == (deployment.version, self.owners)
        if before is not None:
            made.served = before.served
            if again:
                made.attempts, made.reason = before.attempts, before.reason
                if before.phase is Phase.STARTING:  # the answer to it may still come
                    made.timestamp, made.told, made.since = before.timestamp, before.told, before.since
        made.told += 1
        made.due = self.now + UNANSWERED.after(made.told)
        deployment.assignments[member] = made
        deployment.changed = self.now
        return Instruction(deployment, member, Operation.CREATE, made.timestamp, self.owners, again=again)


def _in_the_way(assignment: Assignment) -> bool:
    return assignment.phase in _LEAVING and assignment.reads and not assignment.abandoned


def _is_left_behind(assignment: Assignment, now: float) -> bool:
    """It is told to stop for ever, but nothing waits for it any more."""
    return assignment.phase in _LEAVING and now >= assignment.since + timing.LET_GO_PATIENCE


def _dues(assignment: Assignment) -> Iterator[float]:
    if assignment.phase in _LEAVING:
        if not assignment.abandoned:
            yield assignment.since + timing.HAND_OVER
        yield assignment.since + timing.LET_GO_PATIENCE
    if assignment.phase is Phase.STARTING:
        yield assignment.since + timing.MEMBER_PATIENCE
    if assignment.due is not None:
        yield assignment.due


def _keeps_all(member: str, before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether a member's partitions, those that leave its position when divided by the number of owners, all stay."""
    if member not in before:
        return not before
    return len(before) % len(after) == 0 and before.index(member) % len(after) == after.index(member)
