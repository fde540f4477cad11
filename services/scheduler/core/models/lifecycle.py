"""The state of a model version, worked out from the states of its copies."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from services.scheduler.core.state import Model, ReplicaState, ReplicaStatus, Version


class ModelState(StrEnum):
    """The values are the names on the wire."""

    PROGRESSING = "ModelProgressing"
    AVAILABLE = "ModelAvailable"
    FAILED = "ModelFailed"
    TERMINATING = "ModelTerminating"
    TERMINATED = "ModelTerminated"
    TERMINATE_FAILED = "ModelTerminateFailed"
    SCHEDULE_FAILED = "ScheduleFailed"
    SCALED_DOWN = "ModelScaledDown"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """`changed_at` is in seconds since the epoch; `unavailable` counts copies loading or failed."""

    state: ModelState
    reason: str
    available: int
    unavailable: int
    changed_at: float


_NOT_READY_YET = frozenset({ReplicaState.LOAD_REQUESTED, ReplicaState.LOADING, ReplicaState.LOADED})
_FAILED = {ReplicaState.LOAD_FAILED, ReplicaState.LOADED_UNAVAILABLE}


def version_status(model: Model, version: Version) -> VersionStatus:
    """State, reason and counters of one version of a model; rules in order, the first that matches wins."""
    counts = Counter(status.state for status in version.replicas.values())
    available = counts[ReplicaState.AVAILABLE]
    loading = sum(counts[state] for state in _NOT_READY_YET)
    failed = sum(counts[state] for state in _FAILED)
    changed_at = max((status.since for status in version.replicas.values()), default=version.created)
    state, reason = _state(model, version, available, loading, failed, counts)
    if state is ModelState.SCHEDULE_FAILED and version.placement_failure:
        changed_at = max(changed_at, version.placement_failure.since)
    if state is ModelState.AVAILABLE and version.placement_failure:
        reason = f"{available} of {version.needed_replicas} copies: {version.placement_failure.reason}"
    unavailable = loading + failed
    if state is ModelState.SCHEDULE_FAILED:
        unavailable = max(0, version.needed_replicas - available)
    return VersionStatus(state, reason, available, unavailable, changed_at)


def _state(
    model: Model,
    version: Version,
    available: int,
    loading: int,
    failed: int,
    counts: Counter[ReplicaState],
) -> tuple[ModelState, str]:
    if model.deleted or version is not model.latest:
        if counts[ReplicaState.UNLOAD_FAILED]:
            return ModelState.TERMINATE_FAILED, _latest_reason(version, {ReplicaState.UNLOAD_FAILED})
        # A deleted model has gone when all its versions have: only then can its name be used again.
        leaving = model.versions.values() if model.deleted else [version]
        reason = "Model deleted" if model.deleted else "Not latest version"
        active = any(not each.is_inactive for each in leaving)
        return (ModelState.TERMINATING if active else ModelState.TERMINATED), reason
    if failed:
        return ModelState.FAILED, _latest_reason(version, _FAILED)
    needed, minimum = version.needed_replicas, version.definition.deploymentSpec.minReplicas
    if version.placement_failure and available < max(1, minimum):
        return ModelState.SCHEDULE_FAILED, version.placement_failure.reason
    if needed == 0 and available == 0 and minimum == 0:
        return ModelState.SCALED_DOWN, ""
    if available == needed or 0 < minimum <= available:
        return ModelState.AVAILABLE, ""
    return ModelState.PROGRESSING, _progress(version, loading)


def _latest_reason(version: Version, states: set[ReplicaState]) -> str:
    matching = [status for status in version.replicas.values() if status.state in states]
    newest: ReplicaStatus = max(matching, key=lambda status: status.since)
    return newest.reason


def _progress(version: Version, loading: int) -> str:
    if loading:
        where = ", ".join(str(index) for index in version.indexes(_NOT_READY_YET))
        again = f"; the last attempt failed: {version.retry.failure}" if version.retry.failure else ""
        return f"loading on {version.server} replica {where}{again}"
    return "waiting to be placed"
