"""Settings of the dataflow engine: the documented flags and environment variables."""

from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field, field_validator

from shared.settings import ServiceSettings


def _setting(default: object, flag: str, *variables: str, **rules: Any) -> Any:
    """A field with its flag (without dashes) and the variables that stand in for it, the first one wins."""
    return Field(default, validation_alias=AliasChoices(flag, *variables), **rules)


class DataflowSettings(ServiceSettings):
    host: str = _setting("0.0.0.0", "host", "DATAFLOW_HOST")
    """Address that the health port is bound to."""
    health_port: int = _setting(9016, "health-server-port", "DATAFLOW_HEALTH_PORT", ge=1, le=65_535)
    """HTTP: /live, /ready, /startup and /metrics."""
    upstream_host: str = _setting("127.0.0.1", "upstream-host", "SELDON_UPSTREAM_HOST")
    """The scheduler."""
    upstream_port: int = _setting(9008, "upstream-port", "SELDON_UPSTREAM_PORT", ge=1, le=65_535)
    kafka_config_path: str = _setting("", "kafka-config-path", "KAFKA_CONFIG_PATH")
    """File `kafka.json`; empty when environment variables say everything."""
    namespace: str = _setting("default", "namespace", "SELDON_POD_NAMESPACE", "POD_NAMESPACE")
    replica_id: str = _setting("", "replica-id", "DATAFLOW_REPLICA_ID", "SELDON_DATAFLOW_REPLICA_ID")
    pod_name: str = _setting("seldon-dataflow-engine", "pod-name", "POD_NAME")
    join_window_ms: int = _setting(
        60_000, "kafka-join-window-millis", "SELDON_KAFKA_JOIN_WINDOW_MILLIS", ge=1, le=86_400_000
    )
    """How far apart records of a join may be whose pipeline names no window."""
    log_level: str = _setting("info", "log-level", "DATAFLOW_LOG_LEVEL")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        level = {"warn": "warning", "trace": "debug", "fatal": "critical"}.get(value.lower(), value.lower())
        if level not in ("critical", "error", "warning", "info", "debug"):
            raise ValueError("use one of critical, error, warning, info, debug")
        return level

    @property
    def name(self) -> str:
        """What the scheduler calls this engine; pipelines and partitions are dealt out by it."""
        return self.replica_id or self.pod_name

    @property
    def kafka_config_file(self) -> Path | None:
        return Path(self.kafka_config_path) if self.kafka_config_path else None
