"""From the scheduler's answers to numbers. Names and contents of resources go no further than here."""

from collections.abc import Iterable
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb

from services.hodometer.core.fields import Value

_BYTES_PER_GB: Final = 1_000_000_000
_RUNNING: Final = frozenset(
    {
        pb.PipelineVersionState.PipelineCreate,
        pb.PipelineVersionState.PipelineCreating,
        pb.PipelineVersionState.PipelineReady,
    }
)


def is_model(message: pb.ModelStatusResponse) -> bool:
    return not message.deleted


def is_running_pipeline(message: pb.PipelineStatusResponse) -> bool:
    return any(version.state.status in _RUNNING for version in message.versions)


def is_active_experiment(message: pb.ExperimentStatusResponse) -> bool:
    return message.active


def server_values(messages: Iterable[pb.ServerStatusResponse]) -> dict[str, Value]:
    """Values of the fields about servers. Multi-model and over-commit count replicas, not servers."""
    servers = replicas = multi_model = over_commit = memory = 0
    for message in messages:
        if message.expectedReplicas > 0 or message.availableReplicas > 0:
            servers += 1
            # -1 expected means that nobody said how many.
            replicas += message.expectedReplicas if message.expectedReplicas > 0 else message.availableReplicas
        for replica in message.resources:
            over_commits = replica.overCommitPercentage > 0
            over_commit += over_commits
            multi_model += over_commits or replica.numLoadedModels > 1
            memory += replica.totalMemoryBytes
    return {
        "server_count": servers,
        "server_replica_count": replicas,
        "multimodel_enabled_count": multi_model,
        "overcommit_enabled_count": over_commit,
        "server_memory_gb_sum": memory / _BYTES_PER_GB,
    }
