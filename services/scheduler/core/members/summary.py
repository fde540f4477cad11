"""The answers of all members as one state and one sentence."""

from dataclasses import dataclass
from enum import Enum, auto

from services.scheduler.core.members.fleet import Fleet, Kind
from services.scheduler.core.members.part import Hold, Part, Phase
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


def summarise(fleet: Fleet, key: str, part: Part) -> Summary:
    """Created when one owner is ready and none is on its way; failed when all have failed."""
    if not part.wanted:
        return _leaving(part)
    if not fleet.released:
        awaited = ", ".join(sorted(fleet.awaited))
        return Summary(Progress.WANTED, f"waiting for {awaited} to come back" if awaited else "the scheduler starts")
    owners = fleet.owners(key)
    if not owners:
        resource = "model" if fleet.kind is Kind.MODEL_GATEWAY else "pipeline"
        return Summary(Progress.WANTED, f"no {fleet.kind}s available to handle {resource}")
    return _coming(part, owners)


def _coming(part: Part, owners: tuple[str, ...]) -> Summary:
    ready = [owner for owner in owners if part.is_current(owner, owners)]
    failed = [owner for owner in owners if _is_failed(part, owner, owners)]
    rebalancing = [owner for owner in owners if _phase(part, owner) is Phase.REBALANCING]
    pending = len(owners) - len(ready) - len(failed) - len(rebalancing)
    tally = ", ".join(
        f"{len(names)}/{len(owners)} {word}"
        for names, word in ((ready, "ready"), (rebalancing, "rebalancing"), (failed, "failed"))
        if names
    )
    words = [tally] if tally else []
    words += [f"{owner} failed: {why(part.holds[owner])}" for owner in failed]
    if pending:
        words.append(_what_is_awaited(part, owners))
        return Summary(Progress.STARTING, "; ".join(words))
    if len(failed) == len(owners):
        return Summary(Progress.FAILED, "; ".join(words))
    return Summary(Progress.REBALANCING if rebalancing else Progress.READY, "; ".join(words))


def _what_is_awaited(part: Part, owners: tuple[str, ...]) -> str:
    letting_go = sorted(
        member
        for member, hold in part.holds.items()
        if hold.phase in (Phase.STOPPING, Phase.STOP_FAILED) and not hold.abandoned
    )
    starting = [owner for owner in owners if _phase(part, owner) is Phase.STARTING]
    if letting_go and not starting:
        return f"Rebalance: waiting for {', '.join(letting_go)} to let go"
    if starting:
        return f"waiting for {', '.join(_with_past(owner, part.holds[owner]) for owner in starting)} to start it"
    return "waiting to be told to start"


def _with_past(member: str, hold: Hold) -> str:
    return f"{member} (attempt {hold.attempts + 1}; before: {hold.reason})" if hold.attempts else member


def _leaving(part: Part) -> Summary:
    if part.ended or not part.holds:
        return Summary(Progress.STOPPED if part.ended else Progress.UNWANTED, "")
    failed = {member: hold for member, hold in part.holds.items() if hold.phase is Phase.STOP_FAILED}
    if failed:
        words = [f"{member} failed to stop: {why(hold)}" for member, hold in sorted(failed.items())]
        return Summary(Progress.STOP_FAILED, "; ".join(words))
    stopping = sorted(member for member, hold in part.holds.items() if hold.phase is Phase.STOPPING)
    if not stopping:
        return Summary(Progress.UNWANTED, "")
    return Summary(Progress.STOPPING, f"waiting for {', '.join(stopping)} to stop")


def why(hold: Hold) -> str:
    """A failed member's own words, and what comes next."""
    said = hold.reason or "it gave no reason"
    if hold.due is None:
        return f"{said}; given up after {hold.attempts} attempts, until it is loaded again or the member reconnects"
    return f"{said}; tried again at {iso(hold.due)}"


def _phase(part: Part, member: str) -> Phase | None:
    hold = part.holds.get(member)
    return hold.phase if hold is not None else None


def _is_failed(part: Part, member: str, owners: tuple[str, ...]) -> bool:
    hold = part.holds.get(member)
    return hold is not None and hold.phase is Phase.FAILED and (hold.version, hold.owners) == (part.version, owners)
