"""Agents that are told something and do not answer: when they are given up, and what may be left there."""

from math import inf

from services.scheduler.core.models.copies import set_replica
from services.scheduler.core.retries import after_failure
from services.scheduler.core.state import (
    Model,
    Orphan,
    Replica,
    ReplicaKey,
    ReplicaState,
    ReplicaStatus,
    Retry,
    State,
    Version,
    VersionKey,
)
from services.scheduler.core.times import iso


def give_up_silent(state: State, model: Model, now: float) -> bool:
    """What an agent has been told again and again without an answer has failed there. True when a load has."""
    loads = False
    for version in model.versions.values():
        key = VersionKey(model.name, version.number)
        for index, status in list(version.replicas.items()):
            replica = state.replica(ReplicaKey(version.server or "", index))
            if replica is None or not replica.connected or now < waited_for_until(status, replica):
                continue
            reason = f"the agent of {version.server}/{index} has not answered since {iso(status.since)}"
            if status.state is ReplicaState.LOADING:
                set_replica(state, key, version, index, ReplicaState.LOAD_FAILED, now, reason, told=status.told)
                version.retry = Retry(version.retry.attempts + 1, None, reason)
                loads = True
            else:
                set_replica(state, key, version, index, ReplicaState.UNLOAD_FAILED, now, reason)
                version.retry = after_failure(version.retry, now, reason)
    return loads


def waited_for_until(status: ReplicaStatus, replica: Replica) -> float:
    """When a copy whose agent answers nothing is given up there; infinite when no answer is waited for."""
    if status.state is ReplicaState.LOADING:
        return status.since + replica.load_patience
    return status.since + replica.unload_patience if status.state is ReplicaState.UNLOADING else inf


def unload_unanswered(
    state: State, key: VersionKey, version: Version, now: float, *, keep: tuple[int, ...] = ()
) -> None:
    """An agent that did not answer may load the copy yet: it is told to unload what is wanted elsewhere."""
    for index, status in list(version.replicas.items()):
        if status.state is ReplicaState.LOAD_FAILED and status.told and index not in keep:
            new = ReplicaState.UNLOAD_ENVOY_REQUESTED
            set_replica(state, key, version, index, new, now, status.reason)


def disown_unanswered(model: Model, version: Version, now: float) -> None:
    """The same for a version that goes on at another server."""
    for index, status in version.replicas.items():
        if status.state is ReplicaState.LOAD_FAILED and status.told:
            model.orphans[ReplicaKey(version.server or "", index), version.number] = Orphan(status.reason, now)
