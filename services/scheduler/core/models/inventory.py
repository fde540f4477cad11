"""What an agent says it holds, entered into the books: the agent is believed."""

from dataclasses import dataclass
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.models.copies import has_left, set_replica
from services.scheduler.core.models.definition import Change, compare
from services.scheduler.core.state import (
    LOADED,
    LOADING,
    SERVING,
    Model,
    Orphan,
    Replica,
    ReplicaKey,
    ReplicaState,
    State,
    Version,
    VersionKey,
)
from shared.model_definition import required_bytes

_MISFIT: Final = "loaded from another definition"


@dataclass(frozen=True, slots=True)
class Announced:
    """A version that an agent says it holds."""

    key: VersionKey
    definition: pb.Model


def take_inventory(state: State, key: ReplicaKey, replica: Replica, held: list[Announced], now: float) -> set[str]:
    """What the agent lists is loaded, what it does not list is not. Returns the models touched."""
    touched = {version.model for version in replica.copies} | forget_orphans(state, key)
    announced = {entry.key for entry in held}
    for entry in held:
        replica.memory.take(entry.key, required_bytes(entry.definition.modelSpec, _info(entry.definition)), held=True)
    replica.reported(replica.available_bytes)
    for entry in sorted(held, key=lambda entry: entry.key, reverse=True):
        touched.add(entry.key.model)
        _take_in(state, entry, key, now)
    for missing in replica.copies - announced:
        lost = state.version(missing)
        status = lost.replicas.get(key.replica) if lost is not None else None
        if lost is None or status is None:
            replica.copies.discard(missing)
            continue
        # Where what is held unasked takes its place, another one is looked for.
        wanted = status.state in LOADING | SERVING and lost.needed_bytes <= replica.free_bytes
        new = ReplicaState.LOAD_REQUESTED if wanted else ReplicaState.UNLOADED
        set_replica(state, missing, lost, key.replica, new, now)
    return touched


def forget_orphans(state: State, where: ReplicaKey) -> set[str]:
    """What a replica held beyond the books is told anew by its agent. Returns the models concerned."""
    concerned = set()
    for model in state.models.values():
        kept = {place: orphan for place, orphan in model.orphans.items() if place[0] != where}
        if len(kept) < len(model.orphans):
            model.orphans = kept
            concerned.add(model.name)
    return concerned


def _take_in(state: State, entry: Announced, where: ReplicaKey, now: float) -> None:
    """One held copy. One that nobody asked for is adopted if its model is unknown to a database that was just made.

    Else it is retired: a version of a model that was deleted so long ago that nobody remembers, one that has meanwhile
    found another server, one that is out of date, one loaded from another definition.
    """
    model = state.models.get(entry.key.model)
    if model is None:
        deleted_at = now if now >= state.adopts_until else None
        model = state.models[entry.key.model] = Model(entry.key.model, deleted_at=deleted_at)
    version = model.versions.get(entry.key.version)
    if version is None:
        if model.versions and not model.deleted and entry.key.version > model.latest.number:
            # What is wished for stays the latest.
            number = entry.key.version + 1
            model.versions[number] = Version(number, model.latest.definition, now)
        version = model.versions[entry.key.version] = Version(entry.key.version, entry.definition, now)
    elif version.server not in (None, where.server) and not has_left(version):
        model.orphans[where, version.number] = Orphan(f"it runs on server {version.server} now", now)
        return
    version.server = where.server
    if compare(version.definition, entry.definition) is Change.NEW_VERSION:
        set_replica(state, entry.key, version, where.replica, ReplicaState.UNLOAD_ENVOY_REQUESTED, now, _MISFIT)
        return
    status = version.replicas.get(where.replica)
    if status is None or status.state not in LOADED:
        set_replica(state, entry.key, version, where.replica, ReplicaState.LOADED, now)


def _info(definition: pb.Model) -> pb.ModelRuntimeInfo | None:
    spec = definition.modelSpec
    return spec.modelRuntimeInfo if spec.HasField("modelRuntimeInfo") else None
