"""Everything that is ever collected: each field with the level from which on it is sent, and its meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

Value = str | int | float


class Level(IntEnum):
    """How much is collected. Each level holds everything of those before it."""

    CLUSTER = 1
    RESOURCE = 2
    FEATURE = 3


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    level: Level
    zero: Value
    """What is sent below that level, or when it could not be collected; its type is the field's type."""
    meaning: str


FIELDS: Final = (
    Field("collector_version", Level.CLUSTER, "", "version of the collector itself"),
    Field("collector_git_commit", Level.CLUSTER, "", "commit that the collector was built from; empty when unknown"),
    Field("cluster_id", Level.CLUSTER, "", "`CLUSTER_ID`, or a random UUID that is new at every start"),
    Field("seldon_core_version", Level.CLUSTER, "", "version that the scheduler reports"),
    Field("kubernetes_version", Level.CLUSTER, "", "version of the Kubernetes API server; empty outside Kubernetes"),
    Field("model_count", Level.RESOURCE, 0, "models that are not deleted"),
    Field("pipeline_count", Level.RESOURCE, 0, "pipelines that are ready or being created"),
    Field("experiment_count", Level.RESOURCE, 0, "experiments that are active"),
    Field("server_count", Level.RESOURCE, 0, "inference servers with at least one replica expected or available"),
    Field("server_replica_count", Level.RESOURCE, 0, "replicas of those servers: expected ones, else available ones"),
    Field("multimodel_enabled_count", Level.FEATURE, 0, "replicas that over-commit memory or hold several models"),
    Field("overcommit_enabled_count", Level.FEATURE, 0, "replicas that over-commit memory"),
    Field("gpu_enabled_count", Level.FEATURE, 0, "reserved, always 0"),
    Field("server_cpu_cores_sum", Level.FEATURE, 0.0, "reserved, always 0"),
    Field("server_memory_gb_sum", Level.FEATURE, 0.0, "memory of all replicas in GB (1 GB is 10⁹ bytes)"),
)


def fill(level: Level, collected: Mapping[str, Value]) -> dict[str, Value]:
    """Every field: as collected where `level` lets it out, zero elsewhere. Names that are no field are left out."""
    return {
        field.name: collected.get(field.name, field.zero) if field.level <= level else field.zero for field in FIELDS
    }
