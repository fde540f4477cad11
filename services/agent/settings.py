"""Settings of the agent: the documented flags and environment variables."""

from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator

from shared.settings import ServiceSettings

Port = int


def _setting(default: object, flag: str, *variables: str, **rules: Any) -> Any:
    """A field with its flag (without dashes) and the variables that stand in for it."""
    return Field(default, validation_alias=AliasChoices(flag, *variables), **rules)


class AgentSettings(ServiceSettings):
    """Everything the agent is told from outside. Times are in the unit their name says, sizes in bytes."""

    agent_host: str = _setting("0.0.0.0", "agent-host")
    agent_folder: str = _setting("/mnt/agent", "agent-folder")
    config_path: str = _setting("/mnt/config", "config-path")

    server_name: str | None = _setting(None, "server-name")
    server_idx: int | None = _setting(None, "server-idx", ge=0)
    server_type: Literal["mlserver", "triton"] = _setting("mlserver", "server-type", "SELDON_SERVER_TYPE")
    replica_config: str = _setting("", "replica-config", "SELDON_REPLICA_CONFIG")
    memory_bytes: int = _setting(1_000_000, "memory-bytes", "MEMORY_REQUEST", ge=0)
    capabilities: str = _setting("sklearn,xgboost", "capabilities", "SELDON_SERVER_CAPABILITIES")
    over_commit_percentage: int = _setting(0, "over-commit-percentage", "SELDON_OVERCOMMIT_PERCENTAGE", ge=0)
    use_deployments_for_servers: bool = _setting(
        False, "use-deployments-for-servers", "SELDON_USE_DEPLOYMENTS_FOR_SERVERS"
    )
    pod_name: str = _setting("", "pod-name", "POD_NAME")
    pod_ip: str = _setting("", "pod-ip", "POD_IP")

    scheduler_host: str = _setting("0.0.0.0", "scheduler-host", "SELDON_SCHEDULER_HOST")
    scheduler_port: Port = _setting(9005, "scheduler-port", "SELDON_SCHEDULER_PORT", ge=0, le=65535)
    envoy_host: str = _setting("0.0.0.0", "envoy-host", "SELDON_ENVOY_HOST")
    envoy_port: Port = _setting(9000, "envoy-port", "SELDON_ENVOY_PORT", ge=0, le=65535)
    envoy_control_port: Port = _setting(9003, "envoy-control-port", "SELDON_ENVOY_CONTROL_PORT", ge=0, le=65535)
    envoy_security_protocol: str = _setting("PLAINTEXT", "envoy-security-protocol", "ENVOY_SECURITY_PROTOCOL")

    inference_host: str = _setting("0.0.0.0", "inference-host")
    inference_http_port: Port = _setting(8080, "inference-http-port", "SELDON_SERVER_HTTP_PORT", ge=0, le=65535)
    inference_grpc_port: Port = _setting(9500, "inference-grpc-port", "SELDON_SERVER_GRPC_PORT", ge=0, le=65535)
    mlserver_parallel_workers: str = _setting("1", "mlserver-parallel-workers", "MLSERVER_PARALLEL_WORKERS")

    reverse_proxy_http_port: Port = _setting(
        9999, "reverse-proxy-http-port", "SELDON_REVERSE_PROXY_HTTP_PORT", ge=0, le=65535
    )
    reverse_proxy_grpc_port: Port = _setting(
        9998, "reverse-proxy-grpc-port", "SELDON_REVERSE_PROXY_GRPC_PORT", ge=0, le=65535
    )
    debug_grpc_port: Port = _setting(7777, "debug-grpc-port", "SELDON_DEBUG_GRPC_PORT", ge=0, le=65535)
    metrics_port: Port = _setting(9006, "metrics-port", "SELDON_METRICS_PORT", ge=0, le=65535)
    readiness_port: Port = _setting(9008, "readiness-port", "SELDON_READINESS_PORT", ge=0, le=65535)

    max_load_elapsed_time_minutes: int = _setting(
        120, "max-load-elapsed-time-minutes", "SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES", ge=1
    )
    max_unload_elapsed_time_minutes: int = _setting(
        15, "max-unload-elapsed-time-minutes", "SELDON_MAX_UNLOAD_ELAPSED_TIME_MINUTES", ge=1
    )
    max_load_retry_count: int = _setting(5, "max-load-retry-count", "SELDON_MAX_LOAD_RETRY_COUNT", ge=1)
    max_unload_retry_count: int = _setting(1, "max-unload-retry-count", "SELDON_MAX_UNLOAD_RETRY_COUNT", ge=1)
    unload_grace_period_seconds: float = _setting(
        2.0, "unload-grace-period-seconds", "SELDON_UNLOAD_GRACE_PERIOD_SECONDS", ge=0
    )
    cold_wait_seconds: float = _setting(30.0, "cold-wait-seconds", "SELDON_COLD_WAIT_SECONDS", ge=0)

    log_level: str = _setting("info", "log-level", "SELDON_LOG_LEVEL")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        # The names that other parts of such a deployment use, in terms of the standard ones.
        level = {"panic": "critical", "fatal": "critical", "warn": "warning", "trace": "debug"}.get(
            value.lower(), value.lower()
        )
        if level not in ("critical", "error", "warning", "info", "debug"):
            raise ValueError("use one of panic, fatal, error, warn, info, debug, trace")
        return level

    @property
    def capability_list(self) -> list[str]:
        return [item.strip() for item in self.capabilities.split(",") if item.strip()]
