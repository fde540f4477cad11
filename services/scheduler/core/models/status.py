"""The state as the messages that clients and subscribers read."""

from collections.abc import Mapping
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members.summary import Progress, summarise
from services.scheduler.core.models.gateways import ModelGateways
from services.scheduler.core.models.lifecycle import ModelState, version_status
from services.scheduler.core.state import Model, ReplicaState, Server, State, Version
from services.scheduler.core.times import iso, timestamp

_GATEWAY_STATE: Final[Mapping[Progress, str]] = {
    Progress.WANTED: "ModelCreate",
    Progress.STARTING: "ModelProgressing",
    Progress.REBALANCING: "ModelProgressing",
    Progress.READY: "ModelAvailable",
    Progress.FAILED: "ModelFailed",
    Progress.UNWANTED: "ModelTerminate",
    Progress.STOPPING: "ModelTerminating",
    Progress.STOP_FAILED: "ModelTerminateFailed",
    Progress.STOPPED: "ModelTerminated",
}


def model_status(model: Model, gateways: ModelGateways, *, all_versions: bool = False) -> pb.ModelStatusResponse:
    """The latest version, or every version that is still known, oldest first."""
    numbers = sorted(model.versions) if all_versions else [model.latest.number]
    return pb.ModelStatusResponse(
        modelName=model.name,
        deleted=model.deleted,
        versions=[_version(model, model.versions[number], gateways) for number in numbers],
    )


def _version(model: Model, version: Version, gateways: ModelGateways) -> pb.ModelVersionStatus:
    summary = version_status(model, version)
    gateway_state, gateway_reason = gateway_status(model, version, gateways)
    message = pb.ModelVersionStatus(
        version=version.number,
        serverName=version.server or "",
        modelDefn=version.definition,
        state=pb.ModelStatus(
            state=pb.ModelStatus.ModelState.Value(summary.state.value),
            reason=reason_with_retry(summary.reason, version, summary.state),
            availableReplicas=summary.available,
            unavailableReplicas=summary.unavailable,
            lastChangeTimestamp=timestamp(summary.changed_at),
            modelGwState=pb.ModelStatus.ModelState.Value(gateway_state),
            modelGwReason=gateway_reason,
        ),
    )
    if version.definition.meta.HasField("kubernetesMeta"):
        message.kubernetesMeta.CopyFrom(version.definition.meta.kubernetesMeta)
    if version.runtime_info is not None:
        message.modelDefn.modelSpec.modelRuntimeInfo.CopyFrom(version.runtime_info)
    for index, status in version.replicas.items():
        message.modelReplicaState[_signed(index)].CopyFrom(
            pb.ModelReplicaStatus(
                state=pb.ModelReplicaStatus.ModelReplicaState.Value(status.state.value),
                reason=status.reason,
                lastChangeTimestamp=timestamp(status.since),
            )
        )
    return message


def _signed(index: int) -> int:
    """A replica's index, 32 bits without a sign, in a field that has one."""
    return index - 2**32 if index >= 2**31 else index


def gateway_status(model: Model, version: Version, gateways: ModelGateways) -> tuple[str, str]:
    """State, as a name of `ModelStatus.ModelState`, and reason of a version at the model gateways.

    They know models by name: only the latest version counts.
    """
    if version is not model.latest:
        return "ModelTerminated", "Not latest version"
    summary = summarise(gateways.fleet, gateways.key(model.name), model.gateway)
    return _GATEWAY_STATE[summary.progress], summary.reason or ("Model deleted" if model.deleted else "")


def reason_with_retry(reason: str, version: Version, state: ModelState) -> str:
    """Whoever reads of a failure also reads when it is tried again."""
    if version.retry.due is not None:
        return f"{reason}; tried again at {iso(version.retry.due)}"
    silent = [status for status in version.replicas.values() if status.told > 1 and status.due is not None]
    if silent:
        times, due = max(status.told for status in silent), min(status.due or 0.0 for status in silent)
        return f"{reason}; told {times} times without an answer, again at {iso(due)}"
    if state is ModelState.SCHEDULE_FAILED:
        return f"{reason}; tried again as soon as a server joins, memory is freed or a model goes"
    return reason


def server_status(server: Server, state: State) -> pb.ServerStatusResponse:
    """Connected replicas that are not draining, with what each holds."""
    message = pb.ServerStatusResponse(
        serverName=server.name,
        expectedReplicas=server.expected,
        type=pb.ServerStatusResponse.StatusUpdate,
    )
    if server.kubernetes_meta is not None:
        message.kubernetesMeta.CopyFrom(server.kubernetes_meta)
    for index, replica in sorted(server.replicas.items()):
        if not replica.connected or replica.draining:
            continue
        loaded = {key.model for key in replica.copies if _is_loaded(state, key.model, key.version, index)}
        message.availableReplicas += 1
        message.numLoadedModelReplicas += len(loaded)
        message.resources.add(
            replicaIdx=index,
            totalMemoryBytes=replica.total_bytes,
            availableMemoryBytes=replica.available_bytes,
            numLoadedModels=len(loaded),
            overCommitPercentage=replica.overcommit_percentage,
        )
    return message


_HELD = {ReplicaState.LOADED, ReplicaState.AVAILABLE, ReplicaState.LOADED_UNAVAILABLE, ReplicaState.DRAINING}


def _is_loaded(state: State, model: str, version: int, index: int) -> bool:
    known = state.models[model].versions.get(version) if model in state.models else None
    status = known.replicas.get(index) if known else None
    return status is not None and status.state in _HELD
