"""From the state of a model's copies to its route plan."""

from services.scheduler.core.routing import NO_ROUTE, Endpoint, RoutePlan, Upstream
from services.scheduler.core.state import LEAVING, SERVING, Address, Model, ReplicaState, Server, Version


def plan_routes(model: Model, servers: dict[str, Server]) -> RoutePlan:
    """The plan that fits the copies as they are now.

    New requests go to the latest version as soon as all the copies it was given are loaded; until then to the newest
    older version that still serves, whatever happens to the latest one.
    """
    routed = _routed_version(model)
    upstreams = tuple(
        upstream for version in model.versions.values() if (upstream := _upstream(model, version, servers)) is not None
    )
    if routed is not None and all(upstream.version != routed for upstream in upstreams):
        routed = None
    return RoutePlan(upstreams, routed) if upstreams or routed is not None else NO_ROUTE


def _routed_version(model: Model) -> int | None:
    if model.deleted:
        return None
    latest = model.latest
    if latest.needed_replicas == 0 and not latest.indexes(SERVING):
        return None
    serving_before = next((version.number for version in model.older() if version.indexes(SERVING)), None)
    if latest.indexes(SERVING) and (serving_before is None or _all_loaded(latest)):
        return latest.number
    return serving_before


def _all_loaded(version: Version) -> bool:
    """Whether all wanted copies are loaded, or every one that was given a place if there was none for the rest."""
    if len(version.indexes(SERVING)) >= version.needed_replicas:
        return True
    present = [status.state for status in version.replicas.values() if status.state not in LEAVING]
    return all(state in SERVING or state is ReplicaState.UNLOADED for state in present)


def _upstream(model: Model, version: Version, servers: dict[str, Server]) -> Upstream | None:
    """Copies on their way out stay reachable until they are gone: requests in flight may still be on their way."""
    known = any(upstream.version == version.number for upstream in model.published.upstreams)
    if not known and not version.indexes(SERVING):
        return None
    server = servers.get(version.server or "")
    if server is None:
        return None
    endpoints = []
    for index in version.indexes(_preferred_states(version)):
        replica = server.replicas.get(index)
        if replica is None:
            continue
        direct = _triple(replica.inference) if replica.inference else None
        endpoints.append(Endpoint(index, direct, _triple(replica.agent)))
    if not endpoints:
        return None
    server_type = next(iter(server.replicas.values())).server_type
    return Upstream(version.number, server.name, server_type, tuple(endpoints))


def _preferred_states(version: Version) -> frozenset[ReplicaState]:
    """Draining copies take traffic only while there is no other."""
    settled = SERVING - {ReplicaState.DRAINING}
    if version.indexes(settled):
        return settled
    return SERVING if version.indexes(SERVING) else LEAVING


def _triple(address: Address) -> tuple[str, int, int]:
    return address.host, address.http_port, address.grpc_port
