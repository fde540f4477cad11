"""Settings of the agent: the documented flags and environment variables."""

from typing import Final, Literal

from shared import timing
from shared.control_plane import TLS_WITHOUT_EFFECT, ControlPlaneSettings
from shared.foreign_settings import WithoutEffect
from shared.settings import LogLevel, port, setting
from shared.tracing.settings import TracingSettings

Port = int
_LOAD_MINUTES, _UNLOAD_MINUTES = int(timing.AGENT_LOAD // 60), int(timing.AGENT_UNLOAD // 60)

_RCLONE: Final = "rclone is a program that the agent runs itself"
_NO_SCALING: Final = "nothing is scaled by load here"
_WAITS: Final = "the agent waits for its server, for rclone and for the scheduler as long as it takes"


class AgentSettings(TracingSettings, ControlPlaneSettings):
    """Everything the agent is told from outside. Times are in the unit their name says, sizes in bytes."""

    without_effect = (
        WithoutEffect("scheduler-tls-port", "the scheduler has no port with TLS", "SELDON_SCHEDULER_TLS_PORT"),
        WithoutEffect("rclone-host", _RCLONE),
        WithoutEffect("rclone-port", _RCLONE),
        WithoutEffect("drainer-port", "a replica that ends is noticed by its connection", "SELDON_DRAINER_PORT"),
        WithoutEffect("namespace", "there is no Kubernetes here, whose secrets it would name", "POD_NAMESPACE"),
        WithoutEffect("model-inference-lag-threshold", _NO_SCALING, "SELDON_MODEL_INFERENCE_LAG_THRESHOLD"),
        WithoutEffect("model-inactive-seconds-threshold", _NO_SCALING, "SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD"),
        WithoutEffect("scaling-stats-period-seconds", _NO_SCALING, "SELDON_SCALING_STATS_PERIOD_SECONDS"),
        WithoutEffect(
            "max-elapsed-time-ready-sub-service-before-start-minutes",
            _WAITS,
            "SELDON_MAX_ELAPSED_TIME_READY_SUB_SERVICE_BEFORE_START_MINUTES",
        ),
        WithoutEffect(
            "max-elapsed-time-ready-sub-service-after-start-seconds",
            _WAITS,
            "SELDON_MAX_TIME_READY_SUB_SERVICE_AFTER_START_SECONDS",
        ),
        WithoutEffect("period-ready-sub-service-seconds", _WAITS, "SELDON_PERIOD_READY_SUB_SERVICE_SECONDS"),
        *TLS_WITHOUT_EFFECT,
    )

    agent_host: str = setting("0.0.0.0", "agent-host")
    """Where other processes reach the agent, when no pod says so."""
    agent_folder: str = setting("/mnt/agent", "agent-folder")
    """Folder shared with the inference server; models are in its folder `models`."""
    config_path: str = setting("/mnt/config", "config-path")
    """File `agent.yaml`, or the folder that has it: where models may be fetched from."""

    server_name: str | None = setting(None, "server-name")
    """Name of the server that this is a replica of; together with --server-idx it wins over the pod's name."""
    server_idx: int | None = setting(None, "server-idx", ge=0)
    """Number of this replica."""
    server_type: Literal["mlserver", "triton"] = setting("mlserver", "server-type", "SELDON_SERVER_TYPE")
    """The inference server beside the agent."""
    replica_config: str = setting("", "replica-config", "SELDON_REPLICA_CONFIG")
    """Memory, overcommit and capabilities as one JSON object, instead of their own options."""
    memory_bytes: int = setting(1_000_000, "memory-bytes", "MEMORY_REQUEST", ge=0)
    """Memory for models in bytes."""
    capabilities: str = setting("sklearn,xgboost", "capabilities", "SELDON_SERVER_CAPABILITIES")
    """What models may require of this server, separated by commas."""
    over_commit_percentage: int = setting(0, "over-commit-percentage", "SELDON_OVERCOMMIT_PERCENTAGE", ge=0)
    """How much more memory may be registered than there is, in percent."""
    use_deployments_for_servers: bool = setting(
        False, "use-deployments-for-servers", "SELDON_USE_DEPLOYMENTS_FOR_SERVERS"
    )
    """The server is a Deployment: the replica's number is made from the end of the pod's name."""
    pod_name: str = setting("", "pod-name", "POD_NAME")
    """NAME-INDEX: who this is, and where other processes reach it."""
    pod_ip: str = setting("", "pod-ip", "POD_IP")
    """Where other processes reach it when the server is a Deployment."""

    scheduler_host: str = setting("0.0.0.0", "scheduler-host", "SELDON_SCHEDULER_HOST")
    """The scheduler."""
    scheduler_port: Port = port(9005, "scheduler-port", "SELDON_SCHEDULER_PORT", lowest=0)
    """Its port for agents."""
    envoy_host: str = setting("0.0.0.0", "envoy-host", "SELDON_ENVOY_HOST")
    """The Envoy that explainers ask, and whose counts this agent reports."""
    envoy_port: Port = port(9000, "envoy-port", "SELDON_ENVOY_PORT", lowest=0)
    """Envoy's port for inference."""
    envoy_control_port: Port = port(9003, "envoy-control-port", "SELDON_ENVOY_CONTROL_PORT", lowest=0)
    """Envoy's port with its statistics."""
    envoy_security_protocol: str = setting("PLAINTEXT", "envoy-security-protocol", "ENVOY_SECURITY_PROTOCOL")
    """SSL: explainers ask Envoy over an encrypted connection."""

    inference_host: str = setting("0.0.0.0", "inference-host")
    """Address of the inference server as Envoy and the agent reach it."""
    inference_http_port: Port = port(8080, "inference-http-port", "SELDON_SERVER_HTTP_PORT", lowest=0)
    """Its REST port."""
    inference_grpc_port: Port = port(9500, "inference-grpc-port", "SELDON_SERVER_GRPC_PORT", lowest=0)
    """Its gRPC port."""
    mlserver_parallel_workers: str = setting("1", "mlserver-parallel-workers", "MLSERVER_PARALLEL_WORKERS")
    """Processes that MLServer runs models in."""

    reverse_proxy_http_port: Port = port(9999, "reverse-proxy-http-port", "SELDON_REVERSE_PROXY_HTTP_PORT", lowest=0)
    """REST port for models that are not in memory."""
    reverse_proxy_grpc_port: Port = port(9998, "reverse-proxy-grpc-port", "SELDON_REVERSE_PROXY_GRPC_PORT", lowest=0)
    """gRPC port for models that are not in memory."""
    debug_grpc_port: Port = port(7777, "debug-grpc-port", "SELDON_DEBUG_GRPC_PORT", lowest=0)
    """gRPC port that tells what is loaded."""
    metrics_port: Port = port(9006, "metrics-port", "SELDON_METRICS_PORT", lowest=0)
    """HTTP: /metrics."""
    readiness_port: Port = port(9008, "readiness-port", "SELDON_READINESS_PORT", lowest=0)
    """HTTP: /live, /ready and /startup."""

    max_load_elapsed_time_minutes: int = setting(
        _LOAD_MINUTES, "max-load-elapsed-time-minutes", "SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES", ge=1
    )
    """Minutes that attempts to load a model may take together."""
    max_unload_elapsed_time_minutes: int = setting(
        _UNLOAD_MINUTES,
        "max-unload-elapsed-time-minutes",
        "SELDON_MAX_UNLOAD_ELAPSED_TIME_MINUTES",
        ge=1,
    )
    """Minutes that attempts to unload a model may take together."""
    server_load_timeout_seconds: int = setting(
        600, "server-load-timeout-seconds", "SELDON_SERVER_LOAD_TIMEOUT_SECONDS", ge=1
    )
    """How long the server may take to load one model that is on its disk."""
    server_unload_timeout_seconds: int = setting(
        120, "server-unload-timeout-seconds", "SELDON_SERVER_UNLOAD_TIMEOUT_SECONDS", ge=1
    )
    """How long the server may take to take one model out of its memory."""
    max_load_retry_count: int = setting(5, "max-load-retry-count", "SELDON_MAX_LOAD_RETRY_COUNT", ge=1)
    """How often loading a model is tried."""
    max_unload_retry_count: int = setting(1, "max-unload-retry-count", "SELDON_MAX_UNLOAD_RETRY_COUNT", ge=1)
    """How often unloading a model is tried."""
    unload_grace_period_seconds: float = setting(
        2.0, "unload-grace-period-seconds", "SELDON_UNLOAD_GRACE_PERIOD_SECONDS", ge=0
    )
    """Seconds that a model which has left the routes still answers."""
    cold_wait_seconds: float = setting(30.0, "cold-wait-seconds", "SELDON_COLD_WAIT_SECONDS", ge=0)
    """Seconds that a request waits for its model or its server."""

    log_level: LogLevel = setting("info", "log-level", "SELDON_LOG_LEVEL")
    """Least severe lines that are logged."""

    @property
    def capability_list(self) -> list[str]:
        return [item.strip() for item in self.capabilities.split(",") if item.strip()]
