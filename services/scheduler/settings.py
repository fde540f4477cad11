"""Settings of the scheduler: flags as existing deployments pass them, or environment variables."""

from pathlib import Path

from pydantic import AliasChoices, Field

from shared.settings import ServiceSettings


def _port(default: int, flag: str, variable: str) -> int:
    field: int = Field(default, ge=1, le=65_535, validation_alias=AliasChoices(flag, variable))
    return field


class SchedulerSettings(ServiceSettings):
    host: str = Field("0.0.0.0", validation_alias=AliasChoices("host", "SCHEDULER_HOST"))
    """Address that every port is bound to."""
    scheduler_port: int = _port(9004, "scheduler-port", "SCHEDULER_SERVER_PORT")
    agent_port: int = _port(9005, "agent-port", "SCHEDULER_AGENT_PORT")
    xds_port: int = _port(9002, "envoy-port", "SCHEDULER_XDS_PORT")
    health_port: int = _port(9014, "health-probe-port", "SCHEDULER_HEALTH_PORT")
    """HTTP: /live, /ready, /startup, /metrics and /explain."""
    db_path: Path = Field(Path(".seldon/data/scheduler"), validation_alias=AliasChoices("db-path", "SCHEDULER_DB_PATH"))
    """Folder of the database with the desired state."""
    settle_seconds: float = Field(
        10.0, ge=0, le=600, validation_alias=AliasChoices("settle-seconds", "SCHEDULER_SETTLE_SECONDS")
    )
    """How long a restarted scheduler waits at most for the replicas that it knew."""
    log_level: str = Field("info", validation_alias=AliasChoices("log-level", "SCHEDULER_LOG_LEVEL"))
