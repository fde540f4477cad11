"""Members that come, go and are waited for: the steps that are the same for every kind."""

from collections.abc import Callable, Iterable

from services.scheduler.core.effects import Effect, SaveMembers
from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.members.fleet import Fleet, Member
from services.scheduler.core.members.rounds import assume_unchanged, joined, left

Resources = Callable[[], Iterable[tuple[str, Iterable[Deployment]]]]
"""Every resource of a fleet: the key that its owners are found by, and its parts."""


class Presence:
    """The comings and goings of one fleet; `arrange_all` then says what follows for every resource."""

    def __init__(self, fleet: Fleet, resources: Resources, arrange_all: Callable[[float], list[Effect]]) -> None:
        self.fleet = fleet
        self._resources = resources
        self._arrange_all = arrange_all
        self._settled_at: float | None = None

    def start(self, now: float, settle_seconds: float) -> list[Effect]:
        """Begin; those who were there before a restart are waited for until the settling time is over."""
        if not self.fleet.awaited:
            return self._release(now)
        self._settled_at = now + settle_seconds
        return []

    def member_joined(self, member: Member, now: float) -> list[Effect]:
        """A member subscribed, for the first time or again: it may have kept what it had, or nothing."""
        self.fleet.join(member)
        for _, deployments in self._resources():
            for deployment in deployments:
                joined(member.name, deployment, now)
        if not self.fleet.released and not self.fleet.awaited:
            return self._release(now)
        return self._changed(now)

    def member_left(self, name: str, session: int, now: float) -> list[Effect]:
        """A member's subscription ended: others take over what it had at once."""
        if not self.fleet.leave(name, session):
            return []
        for _, deployments in self._resources():
            for deployment in deployments:
                left(name, deployment, now)
        return self._changed(now)

    @property
    def next_due(self) -> float | None:
        """When `tick` has something to do."""
        return None if self.fleet.released else self._settled_at

    def tick(self, now: float) -> list[Effect]:
        """Go on without those that have not come back when the settling time is over."""
        is_due = self._settled_at is not None and now >= self._settled_at
        return self._release(now) if is_due and not self.fleet.released else []

    def _release(self, now: float) -> list[Effect]:
        self.fleet.release()
        if self.fleet.unchanged:
            for key, deployments in self._resources():
                assume_unchanged(self.fleet, key, deployments)
        return self._changed(now)

    def _changed(self, now: float) -> list[Effect]:
        """What is written down is who was there when something was last told to anybody."""
        saved: list[Effect] = [SaveMembers(self.fleet.kind)] if self.fleet.released else []
        return [*saved, *self._arrange_all(now)]
