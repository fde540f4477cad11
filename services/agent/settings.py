"""Settings of the agent: the documented flags and environment variables."""

from typing import Literal

from shared.settings import LogLevel, port, setting
from shared.tracing.settings import TracingSettings

Port = int


class AgentSettings(TracingSettings):
    """Everything the agent is told from outside. Times are in the unit their name says, sizes in bytes."""

    agent_host: str = setting("0.0.0.0", "agent-host")
    agent_folder: str = setting("/mnt/agent", "agent-folder")
    config_path: str = setting("/mnt/config", "config-path")

    server_name: str | None = setting(None, "server-name")
    server_idx: int | None = setting(None, "server-idx", ge=0)
    server_type: Literal["mlserver", "triton"] = setting("mlserver", "server-type", "SELDON_SERVER_TYPE")
    replica_config: str = setting("", "replica-config", "SELDON_REPLICA_CONFIG")
    memory_bytes: int = setting(1_000_000, "memory-bytes", "MEMORY_REQUEST", ge=0)
    capabilities: str = setting("sklearn,xgboost", "capabilities", "SELDON_SERVER_CAPABILITIES")
    over_commit_percentage: int = setting(0, "over-commit-percentage", "SELDON_OVERCOMMIT_PERCENTAGE", ge=0)
    use_deployments_for_servers: bool = setting(
        False, "use-deployments-for-servers", "SELDON_USE_DEPLOYMENTS_FOR_SERVERS"
    )
    pod_name: str = setting("", "pod-name", "POD_NAME")
    pod_ip: str = setting("", "pod-ip", "POD_IP")

    scheduler_host: str = setting("0.0.0.0", "scheduler-host", "SELDON_SCHEDULER_HOST")
    scheduler_port: Port = port(9005, "scheduler-port", "SELDON_SCHEDULER_PORT", lowest=0)
    envoy_host: str = setting("0.0.0.0", "envoy-host", "SELDON_ENVOY_HOST")
    envoy_port: Port = port(9000, "envoy-port", "SELDON_ENVOY_PORT", lowest=0)
    envoy_control_port: Port = port(9003, "envoy-control-port", "SELDON_ENVOY_CONTROL_PORT", lowest=0)
    envoy_security_protocol: str = setting("PLAINTEXT", "envoy-security-protocol", "ENVOY_SECURITY_PROTOCOL")

    inference_host: str = setting("0.0.0.0", "inference-host")
    inference_http_port: Port = port(8080, "inference-http-port", "SELDON_SERVER_HTTP_PORT", lowest=0)
    inference_grpc_port: Port = port(9500, "inference-grpc-port", "SELDON_SERVER_GRPC_PORT", lowest=0)
    mlserver_parallel_workers: str = setting("1", "mlserver-parallel-workers", "MLSERVER_PARALLEL_WORKERS")

    reverse_proxy_http_port: Port = port(9999, "reverse-proxy-http-port", "SELDON_REVERSE_PROXY_HTTP_PORT", lowest=0)
    reverse_proxy_grpc_port: Port = port(9998, "reverse-proxy-grpc-port", "SELDON_REVERSE_PROXY_GRPC_PORT", lowest=0)
    debug_grpc_port: Port = port(7777, "debug-grpc-port", "SELDON_DEBUG_GRPC_PORT", lowest=0)
    metrics_port: Port = port(9006, "metrics-port", "SELDON_METRICS_PORT", lowest=0)
    readiness_port: Port = port(9008, "readiness-port", "SELDON_READINESS_PORT", lowest=0)

    max_load_elapsed_time_minutes: int = setting(
        120, "max-load-elapsed-time-minutes", "SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES", ge=1
    )
    max_unload_elapsed_time_minutes: int = setting(
        15, "max-unload-elapsed-time-minutes", "SELDON_MAX_UNLOAD_ELAPSED_TIME_MINUTES", ge=1
    )
    max_load_retry_count: int = setting(5, "max-load-retry-count", "SELDON_MAX_LOAD_RETRY_COUNT", ge=1)
    max_unload_retry_count: int = setting(1, "max-unload-retry-count", "SELDON_MAX_UNLOAD_RETRY_COUNT", ge=1)
    unload_grace_period_seconds: float = setting(
        2.0, "unload-grace-period-seconds", "SELDON_UNLOAD_GRACE_PERIOD_SECONDS", ge=0
    )
    cold_wait_seconds: float = setting(30.0, "cold-wait-seconds", "SELDON_COLD_WAIT_SECONDS", ge=0)

    log_level: LogLevel = setting("info", "log-level", "SELDON_LOG_LEVEL")

    @property
    def capability_list(self) -> list[str]:
        return [item.strip() for item in self.capabilities.split(",") if item.strip()]
