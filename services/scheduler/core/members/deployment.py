"""What every member was told of one resource, and what it answered."""

from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """Where one member is with one resource."""

    UNKNOWN = "connected, may hold it from before"
    STARTING = "told to start"
    READY = "runs it"
    REBALANCING = "rebalances"
    FAILED = "failed to start"
    STOPPING = "told to stop"
    STOP_FAILED = "failed to stop"


@dataclass(slots=True)
class Assignment:
    """One member's share of one resource. Times are seconds since the epoch."""

    phase: Phase
    since: float
    """When it was first told to start since it last answered, or first told to stop."""
    version: int = 0
    owners: tuple[str, ...] = ()
    """Everybody who shares it, as this member was last told; it reads the partitions of its own place."""
    timestamp: int = 0
    """Of the last instruction; an answer has to carry it."""
    reason: str = ""
    """The member's own words."""
    attempts: int = 0
    """How often it failed since it last succeeded."""
    told: int = 0
    """How often it was told since it last answered."""
    due: float | None = None
    """When it is told again; None when it runs, and while it is to start again as soon as it has let go."""
    served: bool = False
    """It has been ready since it connected."""
    reads: bool = False
    """While it is told to stop: it may take in new records until it has; an old version only finishes what it has."""
    abandoned: bool = False
    """It did not let go in time, and those who are to start do so."""


@dataclass(slots=True)
class Deployment:
    """One resource, or one version of it, over all members.

    A member without an entry holds nothing of it.
    """

    version: int = 0
    wanted: bool = False
    ended: bool = True
    """Not wanted, and every member that was asked has let go; or never wanted."""
    changed: float = 0.0
    assignments: dict[str, Assignment] = field(default_factory=dict)

    def want(self, version: int, now: float) -> None:
        """Have it run in this version."""
        if not self.wanted or self.version != version:
            self.version, self.wanted, self.ended, self.changed = version, True, False, now

    def unwant(self, now: float) -> None:
        """Have everybody let go of it."""
        if self.wanted:
            self.wanted, self.changed = False, now

    def everywhere(self, owners: tuple[str, ...]) -> bool:
        """Whether all owners run this version, each with its share."""
        return bool(owners) and all(self.is_current(owner, owners) for owner in owners)

    def is_current(self, member: str, owners: tuple[str, ...]) -> bool:
        assignment = self.assignments.get(member)
        return (
            assignment is not None
            and assignment.phase is Phase.READY
            and (assignment.version, assignment.owners) == (self.version, owners)
        )
