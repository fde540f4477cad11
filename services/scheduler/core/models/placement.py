"""Where a model version goes: filters, then sorters, over servers and their replicas. Every refusal has a reason."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

EXPLAINER_CAPABILITY = "alibi-explain"
NO_SERVER = "Failed to schedule model as no matching servers are available"
NO_REPLICAS = "Failed to schedule model as no matching server had enough suitable replicas"


@dataclass(frozen=True, slots=True)
class Need:
    """What a model version asks for. `memory` is bytes per copy."""

    capabilities: tuple[str, ...]
    memory: int
    replicas: int
    min_replicas: int = 0
    server: str | None = None
    explainer: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaOffer:
    """What one server replica can give. `holds`: the version is loading or loaded there; `leaving`: it is on its way
    out there, and would be unloaded after it was loaded again."""

    index: int
    free: int
    holds: bool = False
    failed: bool = False
    connected: bool = True
    draining: bool = False
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class ServerOffer:
    """What one server can give."""

    name: str
    capabilities: frozenset[str]
    replicas: tuple[ReplicaOffer, ...]
    shared: bool = True
    expected: int = -1
    current: bool = False
    """The version is, or was last, placed here."""


@dataclass(frozen=True, slots=True)
class ReplicaVerdict:
    index: int
    refusal: str
    """Empty when the replica is suitable."""
    lacks_memory: bool = False
    """Nothing but memory is missing."""


@dataclass(frozen=True, slots=True)
class ServerVerdict:
    name: str
    refusal: str
    """Empty when the server was chosen or could have been."""
    replicas: tuple[ReplicaVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """`server` is None when nothing fits; `verdicts` tells about every server why or why not."""

    server: str | None
    replicas: tuple[int, ...]
    verdicts: tuple[ServerVerdict, ...]
    failure: str
    """Empty when all wanted copies have a place; a partial placement has both replicas and a failure."""


ServerFilter = Callable[[Need, ServerOffer], str]
ReplicaFilter = Callable[[Need, ServerOffer, ReplicaOffer], str]


def _has_replicas(_: Need, server: ServerOffer) -> str:
    return "" if any(replica.connected for replica in server.replicas) else "no replica of it is connected"


def _may_use(need: Need, server: ServerOffer) -> str:
    if need.server is None:
        return "" if server.shared else "is not shared; name it in spec.server to use it"
    return "" if need.server == server.name else f"the model asks for server {need.server!r}"


def _not_being_removed(_: Need, server: ServerOffer) -> str:
    return "is being removed (0 replicas expected)" if server.expected == 0 else ""


def _is_capable(need: Need, server: ServerOffer) -> str:
    missing = [wanted for wanted in need.capabilities if wanted not in server.capabilities]
    return f"lacks capability {', '.join(missing)}" if missing else ""


def _is_connected(_: Need, __: ServerOffer, replica: ReplicaOffer) -> str:
    return "" if replica.connected or replica.holds else "its agent is not connected"


def _is_not_draining(_: Need, __: ServerOffer, replica: ReplicaOffer) -> str:
    return "is draining" if replica.draining else ""


def _has_let_go(_: Need, __: ServerOffer, replica: ReplicaOffer) -> str:
    return "is still unloading it" if replica.leaving else ""


def _explains(need: Need, server: ServerOffer, _: ReplicaOffer) -> str:
    lacks = need.explainer and EXPLAINER_CAPABILITY not in server.capabilities
    return f"explainers need capability {EXPLAINER_CAPABILITY}" if lacks else ""


def _has_memory(need: Need, _: ServerOffer, replica: ReplicaOffer) -> str:
    fits = replica.holds or need.memory <= replica.free
    return "" if fits else f"needs {need.memory} bytes, has {replica.free} free"


SERVER_FILTERS: Sequence[ServerFilter] = (_may_use, _not_being_removed, _has_replicas, _is_capable)
REPLICA_FILTERS: Sequence[ReplicaFilter] = (_is_connected, _is_not_draining, _has_let_go, _explains, _has_memory)
"""Memory last: what it alone keeps out can be placed as soon as some is freed."""


def _replica_order(replica: ReplicaOffer) -> tuple[bool, bool, int, int]:
    """Copies that exist stay; then replicas that did not fail before, most free memory, lowest index."""
    return (not replica.holds, replica.failed, -replica.free, replica.index)


def _server_order(server: ServerOffer) -> tuple[bool, bool, bool, int, str]:
    """A server that holds the version first, one where it failed last; then its own, most free memory, name."""
    return (
        not any(replica.holds for replica in server.replicas),
        any(replica.failed for replica in server.replicas),
        not server.current,
        -max((replica.free for replica in server.replicas), default=0),
        server.name,
    )


def place(need: Need, servers: Iterable[ServerOffer]) -> Placement:
    """Choose one server and as many of its replicas as the version wants, or at least `min_replicas` if that is set."""
    verdicts: list[ServerVerdict] = []
    candidates: list[tuple[ServerOffer, list[ReplicaOffer]]] = []
    for server in sorted(servers, key=_server_order):
        refusal = _first(check(need, server) for check in SERVER_FILTERS)
        replicas = () if refusal else _judge_replicas(need, server)
        suitable = [r for r, v in zip(server.replicas, replicas, strict=False) if not v.refusal]
        if not refusal:
            candidates.append((server, sorted(suitable, key=_replica_order)))
            if len(suitable) < need.replicas:
                refusal = f"{len(suitable)} of {need.replicas} wanted replicas are suitable"
        verdicts.append(ServerVerdict(server.name, refusal, replicas))

    for server, suitable in candidates:
        if len(suitable) >= need.replicas:
            chosen = tuple(replica.index for replica in suitable[: need.replicas])
            return Placement(server.name, chosen, tuple(verdicts), "")
    failure = _failure(candidates, verdicts)
    if need.min_replicas > 0:
        for server, suitable in candidates:
            if len(suitable) >= need.min_replicas:
                chosen = tuple(replica.index for replica in suitable[: need.replicas])
                return Placement(server.name, chosen, tuple(verdicts), failure)
    return Placement(None, (), tuple(verdicts), failure)


def _judge_replicas(need: Need, server: ServerOffer) -> tuple[ReplicaVerdict, ...]:
    return tuple(_judge_replica(need, server, replica) for replica in server.replicas)


def _judge_replica(need: Need, server: ServerOffer, replica: ReplicaOffer) -> ReplicaVerdict:
    for check in REPLICA_FILTERS:
        refusal = check(need, server, replica)
        if refusal:
            return ReplicaVerdict(replica.index, refusal, lacks_memory=check is _has_memory)
    return ReplicaVerdict(replica.index, "")


def _first(refusals: Iterable[str]) -> str:
    return next((refusal for refusal in refusals if refusal), "")


def _failure(candidates: Sequence[object], verdicts: Sequence[ServerVerdict]) -> str:
    """One sentence with the cause for every server; the beginnings are those that existing clients look for."""
    if not verdicts:
        return f"{NO_SERVER}: no server has registered"
    return f"{NO_REPLICAS if candidates else NO_SERVER}: " + "; ".join(_describe(verdict) for verdict in verdicts)


def _describe(verdict: ServerVerdict) -> str:
    details = ", ".join(f"replica {r.index} {r.refusal}" for r in verdict.replicas if r.refusal)
    return f"{verdict.name} {verdict.refusal}" + (f" ({details})" if details else "")
