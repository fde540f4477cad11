"""A member's subscription over gRPC: it joins, takes instructions for as long as it lives, and leaves."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from services.scheduler.core.members.fleet import Kind, Member
from services.scheduler.core.members.rounds import Operation
from services.scheduler.core.state import Address
from services.scheduler.engine import Engine
from services.scheduler.links.link import Link
from services.scheduler.peers.addresses import ended_when_moved
from shared.errors import InvalidInput
from shared.logs import logger

_log = logger("members")


async def subscription(
    engine: Engine, kind: Kind, member: Member, context: Any, announced: Iterable[tuple[str, Address]] = ()
) -> AsyncIterator[Any]:
    """The member's instructions. A second subscription of the same name takes over from the first.

    `announced` are the names that it is reached by, as in `ended_when_moved`.
    """
    link = Link[Any]()
    try:
        await engine.attach_member(kind, member, link)
        # Tells the member that it is taken in, also when there is nothing to say to it for a long time.
        await context.send_initial_metadata(())
        _log.info("member joined", kind=kind.value, member=member.name, peer=context.peer())
        async with ended_when_moved(link, announced):
            async for message in link.instructions():
                yield message
    finally:
        engine.detach_member(kind, member, link)
        _log.info("member left", kind=kind.value, member=member.name)


def operation_of(name: str) -> Operation:
    """What an answer is about. Raises InvalidInput for an operation that nobody answers."""
    try:
        return Operation(name)
    except ValueError:
        expected = ", ".join(operation.value for operation in Operation)
        raise InvalidInput.of_field("update.op", name, f"one of {expected}") from None
