"""The subscriptions of all members, and the way instructions take to them."""

from collections.abc import Mapping
from typing import Any, Final

from services.scheduler import metrics
from services.scheduler.core.effects import Tell
from services.scheduler.core.members.fleet import Kind
from services.scheduler.core.members.instructions import MemberMessage
from services.scheduler.links.link import Link
from shared.logs import logger

_LABELS: Final[Mapping[Kind, str]] = {
    Kind.ENGINE: "dataflow_engine",
    Kind.MODEL_GATEWAY: "model_gateway",
    Kind.PIPELINE_GATEWAY: "pipeline_gateway",
}
_log = logger("members")


class MemberLinks:
    """One link per kind and name; the newest subscription of a name is the one that counts."""

    def __init__(self) -> None:
        self._links: dict[tuple[Kind, str], Link[Any]] = {}
        self._rounds: dict[Kind, int] = {}

    def attach(self, kind: Kind, name: str, link: Link[Any]) -> None:
        before = self._links.get((kind, name))
        if before is not None:
            _log.warning("another subscription takes over", kind=kind.value, member=name)
            before.end()
        self._links[kind, name] = link
        self._count(kind)

    def detach(self, kind: Kind, name: str, link: Link[Any]) -> None:
        if self._links.get((kind, name)) is link:
            del self._links[kind, name]
        self._count(kind)

    def send(self, tell: Tell, message: MemberMessage) -> None:
        instruction, label = tell.instruction, _LABELS[tell.kind]
        if instruction.timestamp > self._rounds.get(tell.kind, 0):
            self._rounds[tell.kind] = instruction.timestamp
            metrics.INSTRUCTION_ROUNDS.labels(label).inc()
        if instruction.again:
            metrics.INSTRUCTION_RETRIES.labels(label).inc()
        metrics.INSTRUCTIONS.labels(label, instruction.operation.value.lower()).inc()
        link = self._links.get((tell.kind, instruction.member))
        if link is None:
            return  # it has just left, which the next step will notice
        if not link.send(message):
            _log.error(
                "member does not take its instructions; disconnecting it", kind=tell.kind, member=instruction.member
            )
            link.end()

    def _count(self, kind: Kind) -> None:
        connected = sum(1 for each, _ in self._links if each is kind)
        metrics.MEMBERS_CONNECTED.labels(_LABELS[kind]).set(connected)
