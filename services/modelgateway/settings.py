"""Settings of the model gateway: the documented flags and environment variables."""

from shared.control_plane import TLS_WITHOUT_EFFECT, ControlPlaneSettings
from shared.foreign_settings import WithoutEffect
from shared.kafka.names import DEFAULT_MAX_CONSUMERS, MODEL_GATEWAY
from shared.kafka.settings import ConsumerCount, KafkaSettings
from shared.settings import LogLevel, port, setting
from shared.tracing.settings import TracingSettings


class ModelGatewaySettings(KafkaSettings, TracingSettings, ControlPlaneSettings):
    """Everything the model gateway is told from outside; times in the unit their name says."""

    without_effect = (
        WithoutEffect("scheduler-tls-port", "the scheduler has no port with TLS", "SELDON_SCHEDULER_TLS_PORT"),
        WithoutEffect("", "records hold no schema ids", "SCHEMA_REGISTRY_CONFIG_PATH"),
        *TLS_WITHOUT_EFFECT,
    )

    host: str = setting("0.0.0.0", "host", "MODELGATEWAY_HOST")
    """Address that the health port is bound to."""
    health_port: int = port(9015, "health-probe-port", "MODELGATEWAY_HEALTH_PORT")
    """HTTP: /live, /ready, /startup and /metrics."""
    pod_name: str = setting(MODEL_GATEWAY, "pod-name", "POD_NAME", min_length=1)
    """Name under which it subscribes to the scheduler; unique among model gateways."""

    scheduler_host: str = setting("127.0.0.1", "scheduler-host", "SELDON_SCHEDULER_HOST")
    """The scheduler."""
    scheduler_port: int = port(9004, "scheduler-plaintxt-port", "SELDON_SCHEDULER_PORT")
    """Its port for gateways."""
    envoy_host: str = setting("127.0.0.1", "envoy-host", "SELDON_ENVOY_HOST")
    """The Envoy that models are asked through."""
    envoy_port: int = port(9000, "envoy-port", "SELDON_ENVOY_PORT")
    """Its port for inference."""

    num_workers: int = setting(64, "num-workers", "MODELGATEWAY_NUM_WORKERS", ge=1)
    """Calls in flight for one model."""
    max_held_bytes: int = setting(256 * 1024 * 1024, "max-held-bytes", "MODELGATEWAY_MAX_HELD_BYTES", ge=1)
    """Bytes of records of all models that are in memory; above it, only models that have none there are read for."""
    worker_timeout_ms: int = setting(120_000, "worker-timeout-ms", "MODELGATEWAY_WORKER_TIMEOUT_MS", ge=1)
    """Milliseconds of one inference with all its attempts."""
    max_num_consumers: ConsumerCount = setting(
        DEFAULT_MAX_CONSUMERS, "max-num-consumers", "MODELGATEWAY_MAX_NUM_CONSUMERS"
    )
    """Number of consumer groups over which models are spread; the scheduler has to know the same."""
    log_level: LogLevel = setting("info", "log-level", "SELDON_LOG_LEVEL")
    """Least severe lines that are logged."""
