"""The members of one kind: who is connected, who is expected back, and who owns what."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.scheduler.core.members.ring import Ring
from services.scheduler.core.state import Address

_MICROSECONDS: Final = 1_000_000


class Kind(StrEnum):
    """The values are names for people, in logs and metrics."""

    ENGINE = "dataflow engine"
    MODEL_GATEWAY = "model gateway"
    PIPELINE_GATEWAY = "pipeline gateway"


@dataclass(frozen=True, slots=True)
class Member:
    """`session` tells its subscriptions apart; `address` is set for pipeline gateways."""

    name: str
    session: int
    address: Address | None = None


class Fleet:
    """All members of one kind.

    Where members are `exclusive`, two of them never read the same partition: one lets go before another starts. Else
    the new one starts before the old one stops. Nothing is told to anybody until the fleet is released: after a
    restart of the scheduler, those who were there before are given time to come back.
    """

    def __init__(self, kind: Kind, *, exclusive: bool, known: Iterable[str] = (), owners_per_key: int = 1) -> None:
        self.kind = kind
        self.exclusive = exclusive
        self.members: dict[str, Member] = {}
        self.awaited = set(known)
        """Members from before a restart that have not come back yet."""
        self.released = False
        self.unchanged = False
        """Those who are here at the release are exactly those who were there before the restart."""
        self._before = frozenset(known)
        self._owners_per_key = owners_per_key
        self._ring = Ring((), owners_per_key)
        self._passed_over: dict[str, set[str]] = {}
        """By key: members that answer nothing about what has it."""
        self.moved = False
        """Owners have changed although nobody came or went; whoever arranges everything anew takes it back."""
        self._stamp = 0

    def owners(self, key: str) -> tuple[str, ...]:
        """Who is to run what has this key; empty when nobody is connected."""
        return self._ring.owners(key, without=frozenset(self._passed_over.get(key, ())))

    def pass_over(self, key: str, member: str) -> None:
        """A member is silent about what has this key: others run it, until it reconnects or starts it after all.

        When nobody else is left, everybody is asked again.
        """
        before = self.owners(key)
        self._passed_over.setdefault(key, set()).add(member)
        self._ask_again(key)
        self.moved = self.moved or self.owners(key) != before

    def take_back(self, key: str, member: str) -> None:
        """Count on a member again."""
        if member in self._passed_over.get(key, ()):
            before = self.owners(key)
            self._passed_over[key].discard(member)
            self.moved = self.moved or self.owners(key) != before

    def passed_over(self, key: str) -> list[str]:
        """Members that are left out for what has this key, because they do not answer."""
        return sorted(self._passed_over.get(key, ()))

    def _ask_again(self, key: str) -> None:
        if not self.members.keys() - self._passed_over[key]:
            del self._passed_over[key]

    def stamp(self, now: float) -> int:
        """A number for a round of instructions: above every one before, across restarts as well."""
        self._stamp = max(self._stamp + 1, int(now * _MICROSECONDS))
        return self._stamp

    def join(self, member: Member) -> None:
        """Take a member in, in place of one of the same name."""
        self.members[member.name] = member
        self.awaited.discard(member.name)
        self._changed(member.name)

    def leave(self, name: str, session: int) -> bool:
        """False when another subscription has taken the member's place."""
        member = self.members.get(name)
        if member is None or member.session != session:
            return False
        del self.members[name]
        self._changed(name)
        return True

    def _changed(self, name: str) -> None:
        self._ring = Ring(self.members, self._owners_per_key)
        for key, silent in list(self._passed_over.items()):
            silent.discard(name)
            self._ask_again(key)

    def release(self) -> None:
        """Go on with those who are here."""
        self.released = True
        self.unchanged = set(self.members) == self._before
        self.awaited.clear()
