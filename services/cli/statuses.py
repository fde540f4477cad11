"""Tables and sentences from the scheduler's status messages."""

from collections.abc import Iterable
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb

from services.cli.text import table
from shared.errors import InvalidInput

_NEVER: Final = "-"


def latest(status: pb.ModelStatusResponse) -> pb.ModelVersionStatus:
    """The newest version; an empty one when the model has none."""
    return max(status.versions, key=lambda version: version.version, default=pb.ModelVersionStatus())


def model_state(status: pb.ModelStatusResponse) -> str:
    return pb.ModelStatus.ModelState.Name(latest(status).state.state)


def pipeline_state(status: pb.PipelineStatusResponse) -> str:
    newest = max(status.versions, key=lambda version: version.pipeline.version, default=pb.PipelineWithState())
    return pb.PipelineVersionState.PipelineStatus.Name(newest.state.status)


def check_model_condition(condition: str) -> None:
    """Raise InvalidInput unless `condition` is the name of a model state, which no wait could end on otherwise."""
    names = pb.ModelStatus.ModelState.keys()
    if condition not in names:
        raise InvalidInput.of_field("--wait", condition, f"use one of {', '.join(names)}")


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
        for index, replica in sorted(version.modelReplicaState.items()):
            rows.append(
                (*start, str(index), pb.ModelReplicaStatus.ModelReplicaState.Name(replica.state), replica.reason)
            )
        if not version.modelReplicaState:
            rows.append((*start, _NEVER, _NEVER, version.state.reason))
    return table(("version", "state", "server", "replica", "replica state", "reason"), rows)


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
