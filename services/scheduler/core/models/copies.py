"""One copy of one version on one replica: its state, and the replica's own books beside it."""

from services.scheduler.core.retries import UNANSWERED
from services.scheduler.core.state import (
    GONE,
    LEAVING,
    LOADING,
    SERVING,
    ReplicaKey,
    ReplicaState,
    ReplicaStatus,
    State,
    Version,
    VersionKey,
)


def set_replica(
    state: State,
    key: VersionKey,
    version: Version,
    index: int,
    new: ReplicaState,
    now: float,
    reason: str = "",
    *,
    told: int = 0,
    due: float | None = None,
) -> None:
    """Move one copy to a state and keep the replica's own books (copies, memory) in step.

    `told` counts instructions without an answer: of a copy that has failed, those that its agent may still follow.
    """
    version.replicas[index] = ReplicaStatus(new, now, reason, told, due)
    replica = state.replica(ReplicaKey(version.server or "", index))
    if replica is None:
        return
    if new in GONE and new is not ReplicaState.UNLOAD_FAILED:
        replica.copies.discard(key)
    else:
        replica.copies.add(key)
    if new in LOADING | SERVING:
        replica.memory.take(key, version.needed_bytes, held=new in SERVING)
    elif new in LEAVING or new is ReplicaState.UNLOAD_FAILED or told:
        replica.memory.leaving(key)  # whatever its agent was told last, the copy may be there until it answers
    else:
        replica.memory.release(key)


def note_told(state: State, key: VersionKey, version: Version, index: int, new: ReplicaState, now: float) -> None:
    """An instruction is on its way, for the first time or once more: agents take a repeated one as the same one."""
    before, replica = version.replicas[index], state.replica(ReplicaKey(version.server or "", index))
    if replica is not None:
        (replica.unloads.told if new is ReplicaState.UNLOADING else replica.unloads.load_told)(key)
    repeated = before.state is new
    told = before.told + 1 if repeated or before.state is ReplicaState.LOAD_REQUESTED else 1
    since = before.since if repeated else now
    reason = "" if new is ReplicaState.LOADING else before.reason
    set_replica(state, key, version, index, new, since, reason, told=told, due=now + UNANSWERED.after(told))


def has_left(version: Version) -> bool:
    """Nothing is left of it on any server; a failed unload is kept, so that it can be seen and tried again."""
    return version.is_inactive and not version.indexes(frozenset({ReplicaState.UNLOAD_FAILED}))
