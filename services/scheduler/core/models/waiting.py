"""What every copy that is on its way waits for: who has to act next, why, and when that is looked at again."""

from dataclasses import dataclass

from services.scheduler.core.models.control import Control
from services.scheduler.core.state import Model, Orphan, Replica, ReplicaKey, ReplicaState, ReplicaStatus, Version
from shared import timing


@dataclass(frozen=True, slots=True)
class Wait:
    """`due` is in seconds since the epoch; None only for what an event brings on: a server, memory, another copy."""

    owner: str
    reason: str
    due: float | None


_UNROUTED = frozenset({ReplicaState.LOADED, ReplicaState.UNLOAD_ENVOY_REQUESTED})
_TOLD = {ReplicaState.LOADING: "load", ReplicaState.UNLOADING: "unload"}
_TO_BE_TOLD = {ReplicaState.LOAD_REQUESTED: "load", ReplicaState.UNLOAD_REQUESTED: "unload"}
_FAILED = frozenset({ReplicaState.LOAD_FAILED, ReplicaState.UNLOAD_FAILED})


def copy_waits(control: Control, model: Model, version: Version, index: int) -> Wait | None:
    """None for a copy in a state that lasts."""
    status = version.replicas[index]
    agent = f"agent of {version.server}/{index}"
    if not control.ready:
        return _settling(control)
    replica = control.state.replica(ReplicaKey(version.server or "", index))
    if status.state in _TO_BE_TOLD or (status.state in _TOLD and replica is not None and not replica.connected):
        return _absent(agent, replica, status)
    if status.state in _TOLD:
        return Wait(agent, _told(_TOLD[status.state], status.told), status.due)
    if status.state in _UNROUTED or status.state is ReplicaState.LOADED_UNAVAILABLE:
        return route_waits(model) or Wait("scheduler", "is used when the other copies are there", _others(version))
    if status.state in _FAILED:
        reason = "failed; it is tried again" if version.retry.due is not None else "failed, and there is no other place"
        return Wait("scheduler", reason, version.retry.due)
    if status.state is ReplicaState.DRAINING:
        return Wait("scheduler", "goes when the model answers elsewhere", version.retry.due)
    return None


def orphan_waits(control: Control, where: ReplicaKey, orphan: Orphan, model: Model) -> Wait:
    """A copy that nobody wants there is always on its way out."""
    agent = f"agent of {where.server}/{where.replica}"
    replica = control.state.replica(where)
    if not control.ready:
        return _settling(control)
    if replica is not None and replica.lost_at is not None:
        return Wait(agent, "is not connected; it is forgotten with it", replica.lost_at + timing.LOST_AGENT)
    if orphan.due is None:
        return Wait("Envoy", "may still send requests there", model.route_due)
    told = _told("unload", orphan.told) if orphan.told else f"failed {orphan.failures} times to unload it"
    return Wait(agent, told, orphan.due)


def route_waits(model: Model) -> Wait | None:
    """None when every Envoy has the routes."""
    if model.route_error:
        return Wait("Envoy", "refused its routes; they are offered again", model.route_due)
    return None if model.acked else Wait("Envoy", "is to take its routes; else they are offered again", model.route_due)


def _others(version: Version) -> float | None:
    """When the other copies of a version are looked at again."""
    dues = [status.due for status in version.replicas.values()] + [version.retry.due]
    return min((due for due in dues if due is not None), default=None)


def _settling(control: Control) -> Wait:
    awaited = ", ".join(f"{key.server}/{key.replica}" for key in sorted(control.awaited))
    return Wait("scheduler", f"starts, and waits for {awaited} to report", control.settles_at)


def _absent(agent: str, replica: Replica | None, status: ReplicaStatus) -> Wait:
    if replica is None or replica.lost_at is None:
        return Wait("scheduler", "tells its agent next", status.since)
    return Wait(agent, "is not connected; its copies go elsewhere", replica.lost_at + timing.LOST_AGENT)


def _told(what: str, times: int) -> str:
    return f"told to {what} it" if times <= 1 else f"told to {what} it {times} times without an answer"
