"""What agents report about single copies, entered into the books.

An outcome may come twice, late, or unasked: it is believed as far as it can be so, and otherwise changes nothing. The
functions raise StateConflict for what is about no copy that the books have.
"""

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.models.copies import set_replica
from services.scheduler.core.retries import LOAD_FAILED, after_failure, after_success
from services.scheduler.core.state import (
    LEAVING,
    LOADED,
    LOADING,
    SERVING,
    Model,
    Orphan,
    ReplicaKey,
    ReplicaState,
    State,
    Version,
    VersionKey,
)
from shared.errors import StateConflict

_ASKED_TO_LEAVE = LEAVING - {ReplicaState.UNLOAD_ENVOY_REQUESTED}
"""Copies whose unload an agent may have failed at; of others it was not asked, and Envoy may still send there."""


def loaded(state: State, where: ReplicaKey, key: VersionKey, info: pb.ModelRuntimeInfo | None, now: float) -> None:
    """It answers from now on. A copy that nobody asked for becomes an orphan."""
    version, replica = _copy(state, where, key), state.replica(where)
    if replica is not None:
        replica.unloads.load_ended(key)
    if version is None:
        _unasked(state, where, key, now)
        return
    if version.runtime_info is None and info is not None:
        version.runtime_info = info
    before = version.replicas[where.replica].state
    if before in LOADING or before in (ReplicaState.LOAD_FAILED, ReplicaState.UNLOADED):
        set_replica(state, key, version, where.replica, ReplicaState.LOADED, now)
        version.retry = after_success(version)


def load_failed(state: State, where: ReplicaKey, key: VersionKey, reason: str, now: float) -> None:
    """It is tried again later."""
    version = _known_copy(state, where, key)
    status = version.replicas[where.replica]
    if status.state in LOADING | SERVING or (status.state is ReplicaState.LOAD_FAILED and status.told):
        # One that served may do so still: an answer of long ago can come late. Of what was told more than once, an
        # agent that had failed by then begins anew: only the first of the instructions has its answer.
        told = 1 if status.state in SERVING else max(0, status.told - 1)
        set_replica(state, key, version, where.replica, ReplicaState.LOAD_FAILED, now, reason, told=told)
        version.retry = after_failure(version.retry, now, reason)


def unloaded(state: State, where: ReplicaKey, key: VersionKey, now: float) -> None:
    """It is gone. What was thought to serve is loaded again."""
    model, replica = state.models.get(key.model), state.replica(where)
    if model is not None and replica is not None and not replica.unloads.answered(key):
        return
    if model is not None and replica is not None and model.orphans.pop((where, key.version), None) is not None:
        replica.memory.release(key)
        return
    version = _known_copy(state, where, key)
    status = version.replicas[where.replica]
    if status.state in LOADED:
        set_replica(state, key, version, where.replica, ReplicaState.LOAD_REQUESTED, now)
    elif status.state in LEAVING or status.state in (ReplicaState.UNLOAD_FAILED, ReplicaState.DRAINING):
        set_replica(state, key, version, where.replica, ReplicaState.UNLOADED, now, status.reason)


def unload_failed(state: State, where: ReplicaKey, key: VersionKey, reason: str, now: float) -> None:
    """It is tried again later."""
    model, replica = state.models.get(key.model), state.replica(where)
    if model is not None and replica is not None and not replica.unloads.answered(key):
        return
    orphan = model.orphans.get((where, key.version)) if model is not None else None
    if orphan is not None:
        orphan.failures, orphan.told, orphan.reason = orphan.failures + 1, 0, reason
        orphan.due = now + LOAD_FAILED.after(orphan.failures)
        return
    version = _known_copy(state, where, key)
    before = version.replicas[where.replica].state
    if before in _ASKED_TO_LEAVE or before is ReplicaState.UNLOADED:
        set_replica(state, key, version, where.replica, ReplicaState.UNLOAD_FAILED, now, reason)
        version.retry = after_failure(version.retry, now, reason)


def _unasked(state: State, where: ReplicaKey, key: VersionKey, now: float) -> None:
    """What is in nobody's books takes memory all the same: it goes the way of everything that is deleted."""
    model = state.models.get(key.model)
    if model is None:
        definition = pb.Model(meta=pb.MetaData(name=key.model))
        model = Model(key.model, {key.version: Version(key.version, definition, now)}, deleted_at=now)
        state.models[key.model] = model
    model.orphans.setdefault((where, key.version), Orphan("nobody asked for it", now))
    replica, known = state.replica(where), model.versions.get(key.version)
    if replica is not None and known is not None:
        replica.memory.take(key, known.needed_bytes, held=True)


def _copy(state: State, where: ReplicaKey, key: VersionKey) -> Version | None:
    """The version, when the books have a copy of it there. Raises StateConflict for an unknown replica."""
    if state.replica(where) is None:
        raise StateConflict(f"server {where.server} replica {where.replica} is not registered")
    version = state.version(key)
    return version if version and version.server == where.server and where.replica in version.replicas else None


def _known_copy(state: State, where: ReplicaKey, key: VersionKey) -> Version:
    version = _copy(state, where, key)
    if version is None:
        raise StateConflict(f"model {key.model} version {key.version} is not on {where.server}/{where.replica}")
    return version
