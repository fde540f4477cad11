"""Tables and sentences from the scheduler's status messages."""

from collections.abc import Iterable, Sequence
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb

from services.cli.text import table
from shared.errors import InvalidInput

_NEVER: Final = "-"
MODEL_STATES: Final[Sequence[str]] = pb.ModelStatus.ModelState.keys()
PIPELINE_STATES: Final[Sequence[str]] = pb.PipelineVersionState.PipelineStatus.keys()


def latest(status: pb.ModelStatusResponse) -> pb.ModelVersionStatus:
    """The newest version; an empty one when the model has none."""
    return max(status.versions, key=lambda version: version.version, default=pb.ModelVersionStatus())


def model_state(status: pb.ModelStatusResponse) -> str:
    return pb.ModelStatus.ModelState.Name(latest(status).state.state)


def latest_pipeline(status: pb.PipelineStatusResponse) -> pb.PipelineWithState:
    """The newest version; an empty one when the pipeline has none."""
    return max(status.versions, key=lambda version: version.pipeline.version, default=pb.PipelineWithState())


def pipeline_state(version: pb.PipelineWithState) -> str:
    """The state of its data flow; once that is ready, the state of its gateways, without which nobody can call it."""
    state = version.state
    names = pb.PipelineVersionState.PipelineStatus
    if state.status == names.PipelineReady and state.pipelineGwStatus != names.PipelineStatusUnknown:
        return names.Name(state.pipelineGwStatus)
    return names.Name(state.status)


def _pipeline_reason(version: pb.PipelineWithState) -> str:
    state = version.state
    if state.status != pb.PipelineVersionState.PipelineReady:
        return state.reason
    if state.pipelineGwStatus not in (
        pb.PipelineVersionState.PipelineReady,
        pb.PipelineVersionState.PipelineStatusUnknown,
    ):
        return state.pipelineGwReason
    return state.reason if state.modelsReady else "not all of its models are available"


def check_condition(condition: str, states: Sequence[str]) -> None:
    """Raise InvalidInput unless `condition` is one of the states, which no wait could end on otherwise."""
    if condition not in states:
        raise InvalidInput.of_field("--wait", condition, f"use one of {', '.join(states)}")


def model_list(statuses: Iterable[pb.ModelStatusResponse]) -> str:
    """One line per model that is not terminated, in the scheduler's order."""
    rows = [
        (status.modelName, model_state(status), latest(status).state.reason)
        for status in statuses
        if latest(status).state.state != pb.ModelStatus.ModelTerminated
    ]
    return table(("model", "state", "reason"), rows)


def model_table(status: pb.ModelStatusResponse) -> str:
    """One line per replica of every version; a version without replicas has a line of its own."""
    rows = []
    for version in status.versions:
        state = pb.ModelStatus.ModelState.Name(version.state.state)
        start = (str(version.version), state, version.serverName or _NEVER)
        # The field has a sign and the index has none.
        replicas = {index % 2**32: replica for index, replica in version.modelReplicaState.items()}
        for index, replica in sorted(replicas.items()):
            rows.append(
                (*start, str(index), pb.ModelReplicaStatus.ModelReplicaState.Name(replica.state), replica.reason)
            )
        if not version.modelReplicaState:
            rows.append((*start, _NEVER, _NEVER, version.state.reason))
    return table(("version", "state", "server", "replica", "replica state", "reason"), rows)


def pipeline_list(statuses: Iterable[pb.PipelineStatusResponse]) -> str:
    """One line per pipeline, in the scheduler's order."""
    rows = []
    for status in statuses:
        newest = latest_pipeline(status)
        rows.append((status.pipelineName, pipeline_state(newest), _pipeline_reason(newest)))
    return table(("pipeline", "state", "reason"), rows)


def pipeline_table(status: pb.PipelineStatusResponse) -> str:
    """One line per version."""
    names = pb.PipelineVersionState.PipelineStatus
    rows = [
        (
            str(version.pipeline.version),
            names.Name(version.state.status),
            names.Name(version.state.pipelineGwStatus),
            "ready" if version.state.modelsReady else "not ready",
            _pipeline_reason(version),
        )
        for version in status.versions
    ]
    return table(("version", "data flow", "gateways", "models", "reason"), rows)


def server_list(statuses: Iterable[pb.ServerStatusResponse]) -> str:
    rows = [
        (status.serverName, str(status.availableReplicas), str(status.numLoadedModelReplicas)) for status in statuses
    ]
    return table(("server", "replicas", "models"), rows)


def server_table(status: pb.ServerStatusResponse) -> str:
    """One line per replica; memory in bytes."""
    rows = [
        (
            str(each.replicaIdx),
            str(each.totalMemoryBytes),
            str(each.availableMemoryBytes),
            str(each.numLoadedModels),
            f"{each.overCommitPercentage}%",
        )
        for each in status.resources
    ]
    return table(("replica", "memory", "free memory", "models", "over-commit"), rows)


def server_sentence(status: pb.ServerStatusResponse) -> str:
    return (
        f"{status.serverName} loaded models {status.numLoadedModelReplicas} "
        f"available replicas {status.availableReplicas}"
    )
