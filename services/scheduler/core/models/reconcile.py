"""Brings one model from what is observed to what is desired: the only place where copies change state by decision.

`reconcile` may be called at any time and as often as one likes; when nothing is to be done it does nothing.
"""

from dataclasses import replace

from services.scheduler.core.effects import Effect, ModelChanged, PublishRoutes, SaveModel, SendLoad, SendUnload
from services.scheduler.core.models.copies import has_left, note_told, set_replica
from services.scheduler.core.models.definition import need_of
from services.scheduler.core.models.placement import Placement, ReplicaOffer, ServerOffer, place
from services.scheduler.core.models.route_plan import plan_routes
from services.scheduler.core.models.silence import disown_unanswered, give_up_silent, unload_unanswered
from services.scheduler.core.retries import UNANSWERED
from services.scheduler.core.state import (
    GONE,
    LEAVING,
    LOADED,
    LOADING,
    SERVING,
    Model,
    Replica,
    ReplicaKey,
    ReplicaState,
    ReplicaStatus,
    Server,
    State,
    Version,
    VersionKey,
)
from shared import timing

_PLACED = LOADING | LOADED
_AVAILABLE = frozenset({ReplicaState.AVAILABLE})
_DRAINING = frozenset({ReplicaState.DRAINING})


def reconcile(state: State, model: Model, now: float, *, retry: bool = False) -> list[Effect]:
    """One pass over one model; `retry` asks for another placement although nothing about the model changed."""
    effects: list[Effect] = []
    silent = give_up_silent(state, model, now)
    if not model.deleted:
        effects += _place_latest(state, model, now, retry=retry or silent)
    for version in list(model.versions.values()):
        _mark_available(state, model, version, now)
        _retire(state, model, version, now)
    for version in model.versions.values():
        _let_go(state, model, version, now)
        effects += _instruct(state, model, version, now)
    effects += _clear_orphans(state, model, now)
    effects += _forget_old_versions(model)
    effects += _publish(state, model, now)
    effects.append(ModelChanged(model.name))
    return effects


def offers(state: State, version: Version) -> list[ServerOffer]:
    """All servers as they stand towards one version."""
    return [_server_offer(server, version) for server in state.servers.values()]


def _server_offer(server: Server, version: Version) -> ServerOffer:
    here = version.server == server.name
    key = VersionKey(version.definition.meta.name, version.number)
    replicas = tuple(
        _replica_offer(index, replica, key, version.replicas.get(index) if here else None)
        for index, replica in sorted(server.replicas.items())
    )
    capabilities = frozenset.union(*(r.capabilities for r in server.replicas.values())) if replicas else frozenset()
    return ServerOffer(server.name, capabilities, replicas, server.shared, server.expected, current=here)


def _replica_offer(index: int, replica: Replica, key: VersionKey, status: ReplicaStatus | None) -> ReplicaOffer:
    return ReplicaOffer(
        index=index,
        free=replica.free_bytes + (0 if status is None or status.state in _PLACED else replica.memory.of(key)),
        holds=status is not None and status.state in _PLACED,
        failed=status is not None and status.state is ReplicaState.LOAD_FAILED,
        leaving=status is not None and status.state in LEAVING,
        connected=replica.connected,
        draining=replica.draining,
    )


def _place_latest(state: State, model: Model, now: float, *, retry: bool) -> list[Effect]:
    version = model.latest
    key = VersionKey(model.name, version.number)
    placed = version.indexes(_PLACED)
    if len(placed) >= version.needed_replicas:
        _note_placed(state, model)
        _shrink(state, key, version, placed, now)
        return []
    waits = version.retry.due is not None and now < version.retry.due
    if not retry and (waits or version.placement_failure):
        return []
    placement = _decide(state, version)
    if placement.failure:
        _note_failure(state, model, placement, now)
    else:
        _note_placed(state, model)
    if placement.server is None:
        unload_unanswered(state, key, version, now)
        return []
    effects: list[Effect] = []
    if version.server != placement.server:
        if not has_left(version):
            return _move(state, model, now)
        disown_unanswered(model, version, now)
        version.server, version.replicas = placement.server, {}
        effects.append(SaveModel(model.name))
    for index in placement.replicas:
        if index not in placed:
            before = version.replicas.get(index)
            told = before.told if before is not None and before.state is ReplicaState.LOAD_FAILED else 0
            set_replica(state, key, version, index, ReplicaState.LOAD_REQUESTED, now, told=told)
    _give_up_failed(state, key, version, now, keep=placement.replicas)
    return effects


def _give_up_failed(state: State, key: VersionKey, version: Version, now: float, *, keep: tuple[int, ...] = ()) -> None:
    """A failed copy that another one takes the place of no longer counts."""
    unload_unanswered(state, key, version, now, keep=keep)
    for index, status in list(version.replicas.items()):
        if status.state is ReplicaState.LOAD_FAILED and index not in keep:
            set_replica(state, key, version, index, ReplicaState.UNLOADED, now, status.reason)


def _shrink(state: State, key: VersionKey, version: Version, placed: list[int], now: float) -> None:
    """Keep as many copies as are wanted: loaded ones before loading ones, then where most memory is free."""

    def order(index: int) -> tuple[bool, int, int]:
        replica = state.replica(ReplicaKey(version.server or "", index))
        return version.replicas[index].state in LOADING, -(replica.free_bytes if replica else 0), index

    for index in sorted(placed, key=order)[version.needed_replicas :]:
        set_replica(state, key, version, index, ReplicaState.UNLOAD_ENVOY_REQUESTED, now, "fewer replicas wanted")


def _note_placed(state: State, model: Model) -> None:
    model.latest.placement_failure = None
    state.unplaced.discard(model.name)


def _note_failure(state: State, model: Model, placement: Placement, now: float) -> None:
    """Remember why a place is missing, since when, and which replicas lack nothing but memory."""
    known = model.latest.placement_failure
    lacking = [
        ReplicaKey(server.name, replica.index)
        for server in placement.verdicts
        for replica in server.replicas
        if replica.lacks_memory
    ]
    state.unplaced.add(model.name, need_of(model.latest).memory, lacking)
    if known is None or known.reason != placement.failure:
        model.latest.placement_failure = ReplicaStatus(ReplicaState.LOAD_FAILED, now, placement.failure)


def _decide(state: State, version: Version) -> Placement:
    """A version with copies leaves its server only for one that takes them all; else it gets what its own has."""
    need, all_offers = need_of(version), offers(state, version)
    placement = place(need, all_offers)
    if placement.failure and version.indexes(_PLACED):
        mine = [offer for offer in all_offers if offer.name == version.server]
        partial = place(replace(need, min_replicas=max(1, need.min_replicas)), mine)
        return replace(partial, failure=placement.failure, verdicts=placement.verdicts)
    return placement


def _move(state: State, model: Model, now: float) -> list[Effect]:
    """Another server is a new version with the same definition, so that a move is an ordinary rolling update."""
    old = model.latest
    number = old.number + 1
    model.versions[number] = Version(number, old.definition, now, runtime_info=old.runtime_info)
    return [SaveModel(model.name), *_place_latest(state, model, now, retry=True)]


def _retire(state: State, model: Model, version: Version, now: float) -> None:
    """Start the way out for copies that are no longer wanted, once Envoy sends them nothing new."""
    key = VersionKey(model.name, version.number)
    if _is_superseded(model, version):
        reason = "Model deleted" if model.deleted else "Not latest version"
        for index, status in list(version.replicas.items()):
            if status.state in SERVING | LOADING:
                set_replica(state, key, version, index, ReplicaState.UNLOAD_ENVOY_REQUESTED, now, reason)
        _give_up_failed(state, key, version, now)
    elif version is model.latest and len(version.indexes(_AVAILABLE)) >= version.needed_replicas:
        for index in version.indexes(_DRAINING):
            set_replica(state, key, version, index, ReplicaState.UNLOAD_ENVOY_REQUESTED, now, "its replica drains")
        _give_up_failed(state, key, version, now)


def _let_go(state: State, model: Model, version: Version, now: float) -> None:
    """What Envoy sends nothing to any more can be unloaded."""
    key = VersionKey(model.name, version.number)
    if not _is_settled(state, model):
        return  # some Envoy may still send requests there
    for index, status in list(version.replicas.items()):
        if status.state is ReplicaState.UNLOAD_ENVOY_REQUESTED and not model.published.routes_to(version.number, index):
            set_replica(state, key, version, index, ReplicaState.UNLOAD_REQUESTED, now, status.reason)


def _is_settled(state: State, model: Model) -> bool:
    """Whether every Envoy routes the model as its copies are now."""
    return model.acked and plan_routes(model, state.servers) == model.published


def _is_superseded(model: Model, version: Version) -> bool:
    if model.deleted:
        return True
    if version is model.latest:
        return False
    if model.latest.needed_replicas == 0:
        return True
    newer_serves = model.acked and model.published.routed is not None and model.published.routed > version.number
    return newer_serves or not version.indexes(SERVING)


def _mark_available(state: State, model: Model, version: Version, now: float) -> None:
    if not model.acked and not model.route_error:
        return
    key = VersionKey(model.name, version.number)
    for index in version.indexes(LOADED):
        if not model.published.routes_to(version.number, index):
            continue
        new = ReplicaState.LOADED_UNAVAILABLE if model.route_error else ReplicaState.AVAILABLE
        current = version.replicas[index]
        if (current.state, current.reason) != (new, model.route_error):
            set_replica(state, key, version, index, new, now, model.route_error)


def _instruct(state: State, model: Model, version: Version, now: float) -> list[Effect]:
    """Requests become instructions as soon as the agent is there to take them."""
    key = VersionKey(model.name, version.number)
    effects: list[Effect] = []
    for index, status in list(version.replicas.items()):
        to = ReplicaKey(version.server or "", index)
        again = status.due is not None and now >= status.due
        replica = state.replica(to)
        if replica is None:
            if status.state not in GONE:
                version.replicas[index] = ReplicaStatus(ReplicaState.UNLOADED, now, "its server replica is gone")
        elif not replica.connected:
            continue
        elif status.state is ReplicaState.LOAD_REQUESTED or (status.state is ReplicaState.LOADING and again):
            note_told(state, key, version, index, ReplicaState.LOADING, now)
            effects.append(SendLoad(to, key))
        elif status.state is ReplicaState.UNLOAD_REQUESTED or (status.state is ReplicaState.UNLOADING and again):
            note_told(state, key, version, index, ReplicaState.UNLOADING, now)
            effects.append(SendUnload(to, key))
    return effects


def _clear_orphans(state: State, model: Model, now: float) -> list[Effect]:
    """Unload copies that are wanted elsewhere or not at all, and go on until the agent says that they are gone."""
    effects: list[Effect] = []
    for (where, number), orphan in list(model.orphans.items()):
        replica, version = state.replica(where), model.versions.get(number)
        if version is not None and version.server == where.server and where.replica in version.replicas:
            del model.orphans[where, number]  # meanwhile it is wanted there, and the agent was told so
        elif replica is None or not replica.connected:
            continue
        elif now >= orphan.due if orphan.due is not None else _is_settled(state, model):
            orphan.told += 1
            orphan.due = now + UNANSWERED.after(orphan.told)
            replica.unloads.told(VersionKey(model.name, number))
            effects.append(SendUnload(where, VersionKey(model.name, number)))
    return effects


def _forget_old_versions(model: Model) -> list[Effect]:
    orphaned = {number for _, number in model.orphans}
    finished = [version for version in model.older() if has_left(version) and version.number not in orphaned]
    for version in finished:
        del model.versions[version.number]
    return [SaveModel(model.name)] if finished else []


def _publish(state: State, model: Model, now: float) -> list[Effect]:
    plan = plan_routes(model, state.servers)
    if plan == model.published:
        return []
    model.published = plan
    return [republish(model, now)]


def republish(model: Model, now: float) -> Effect:
    """Offer Envoy the plan as it is, under a new revision."""
    model.revision += 1
    model.acked, model.route_error = False, ""
    model.route_due = now + timing.ROUTE_UNANSWERED
    return PublishRoutes(model.name, model.published, model.revision)
