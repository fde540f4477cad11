"""The answers of all members as one state and one sentence."""

from dataclasses import dataclass
from enum import Enum, auto

from services.scheduler.core.members.deployment import Assignment, Deployment, Phase
from services.scheduler.core.members.fleet import Fleet, Kind
from services.scheduler.core.times import iso


class Progress(Enum):
    """Where a resource is with all of its members together."""

    WANTED = auto()
    """Nobody was told yet."""
    STARTING = auto()
    READY = auto()
    REBALANCING = auto()
    FAILED = auto()
    UNWANTED = auto()
    """Nobody was told yet to stop."""
    STOPPING = auto()
    STOP_FAILED = auto()
    STOPPED = auto()


@dataclass(frozen=True, slots=True)
class Summary:
    """`reason` names who said what, and when it is tried again."""

    progress: Progress
    reason: str


def summarise(fleet: Fleet, key: str, deployment: Deployment) -> Summary:
    """Created when one owner is ready and none is on its way; failed when all have failed."""
    if not deployment.wanted:
        return _leaving(deployment)
    if not fleet.released:
        awaited = ", ".join(sorted(fleet.awaited))
        return Summary(Progress.WANTED, f"waiting for {awaited} to come back" if awaited else "the scheduler starts")
    owners = fleet.owners(key)
    if not owners:
        resource = "model" if fleet.kind is Kind.MODEL_GATEWAY else "pipeline"
        return Summary(Progress.WANTED, f"no {fleet.kind}s available to handle {resource}")
    return _coming(deployment, owners)


def _coming(deployment: Deployment, owners: tuple[str, ...]) -> Summary:
    ready = [owner for owner in owners if deployment.is_current(owner, owners)]
    failed = [owner for owner in owners if _is_failed(deployment, owner, owners)]
    rebalancing = [owner for owner in owners if _phase(deployment, owner) is Phase.REBALANCING]
    pending = len(owners) - len(ready) - len(failed) - len(rebalancing)
    tally = ", ".join(
        f"{len(names)}/{len(owners)} {word}"
        for names, word in ((ready, "ready"), (rebalancing, "rebalancing"), (failed, "failed"))
        if names
    )
    words = [tally] if tally else []
    words += [f"{owner} failed: {why(deployment.assignments[owner])}" for owner in failed]
    if pending:
        words.append(_what_is_awaited(deployment, owners))
        return Summary(Progress.STARTING, "; ".join(words))
    if len(failed) == len(owners):
        return Summary(Progress.FAILED, "; ".join(words))
    return Summary(Progress.REBALANCING if rebalancing else Progress.READY, "; ".join(words))


def _what_is_awaited(deployment: Deployment, owners: tuple[str, ...]) -> str:
    letting_go = sorted(
        member
        for member, assignment in deployment.assignments.items()
        if assignment.phase in (Phase.STOPPING, Phase.STOP_FAILED) and not assignment.abandoned
    )
    starting = [owner for owner in owners if _phase(deployment, owner) is Phase.STARTING]
    if letting_go and not starting:
        return f"Rebalance: waiting for {', '.join(letting_go)} to let go"
    if starting:
        names = ", ".join(_with_past(owner, deployment.assignments[owner]) for owner in starting)
        return f"waiting for {names} to start it"
    return "waiting to be told to start"


def _with_past(member: str, assignment: Assignment) -> str:
    past = []
    if assignment.attempts:
        past.append(f"attempt {assignment.attempts + 1}; before: {assignment.reason}")
    if assignment.told > 1 and assignment.due is not None:
        past.append(f"told {assignment.told} times without an answer, again at {iso(assignment.due)}")
    return f"{member} ({'; '.join(past)})" if past else member


def _leaving(deployment: Deployment) -> Summary:
    if deployment.ended or not deployment.assignments:
        return Summary(Progress.STOPPED if deployment.ended else Progress.UNWANTED, "")
    failed = {
        member: assignment
        for member, assignment in deployment.assignments.items()
        if assignment.phase is Phase.STOP_FAILED
    }
    if failed:
        words = [f"{member} failed to stop: {why(assignment)}" for member, assignment in sorted(failed.items())]
        return Summary(Progress.STOP_FAILED, "; ".join(words))
    stopping = sorted(
        member for member, assignment in deployment.assignments.items() if assignment.phase is Phase.STOPPING
    )
    if not stopping:
        return Summary(Progress.UNWANTED, "")
    names = ", ".join(_with_past(member, deployment.assignments[member]) for member in stopping)
    return Summary(Progress.STOPPING, f"waiting for {names} to stop")


def why(assignment: Assignment) -> str:
    """A failed member's own words, and what comes next."""
    said = assignment.reason or "it gave no reason"
    return f"{said}; tried again at {iso(assignment.due)}" if assignment.due is not None else said


def _phase(deployment: Deployment, member: str) -> Phase | None:
    assignment = deployment.assignments.get(member)
    return assignment.phase if assignment is not None else None


def _is_failed(deployment: Deployment, member: str, owners: tuple[str, ...]) -> bool:
    assignment = deployment.assignments.get(member)
    return (
        assignment is not None
        and assignment.phase is Phase.FAILED
        and (assignment.version, assignment.owners) == (deployment.version, owners)
    )
