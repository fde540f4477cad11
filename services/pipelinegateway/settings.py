"""Settings of the pipeline gateway: the documented flags and environment variables."""

from shared.control_plane import TLS_WITHOUT_EFFECT, ControlPlaneSettings
from shared.foreign_settings import WithoutEffect
from shared.kafka.names import DEFAULT_MAX_CONSUMERS, PIPELINE_GATEWAY
from shared.kafka.settings import ConsumerCount, KafkaSettings
from shared.settings import LogLevel, port, setting
from shared.tracing.settings import TracingSettings


class PipelineGatewaySettings(KafkaSettings, TracingSettings, ControlPlaneSettings):
    """Everything the pipeline gateway is told from outside; times in the unit their name says."""

    without_effect = (
        WithoutEffect("scheduler-tls-port", "the scheduler has no port with TLS", "SELDON_SCHEDULER_TLS_PORT"),
        WithoutEffect("", "records hold no schema ids", "SCHEMA_REGISTRY_CONFIG_PATH"),
        *TLS_WITHOUT_EFFECT,
    )

    host: str = setting("0.0.0.0", "host", "PIPELINEGATEWAY_HOST")
    """Address that every port is bound to."""
    http_port: int = port(9010, "http-port", "PIPELINEGATEWAY_HTTP_PORT")
    """REST port."""
    grpc_port: int = port(9011, "grpc-port", "PIPELINEGATEWAY_GRPC_PORT")
    """gRPC port."""
    metrics_port: int = port(9009, "metrics-port", "PIPELINEGATEWAY_METRICS_PORT")
    """HTTP: /live, /ready, /startup and /metrics."""
    health_port: int = port(0, "health-probe-port", "PIPELINEGATEWAY_HEALTH_PORT", lowest=0)
    """A second port with the same; 0 for none."""
    pod_ip: str = setting("127.0.0.1", "pod-ip", "POD_IP", min_length=1)
    """Where Envoy reaches this gateway."""
    pod_name: str = setting(PIPELINE_GATEWAY, "pod-name", "POD_NAME", min_length=1)
    """Name under which it subscribes to the scheduler; unique among pipeline gateways."""

    scheduler_host: str = setting("127.0.0.1", "scheduler-host", "SELDON_SCHEDULER_HOST")
    """The scheduler."""
    scheduler_port: int = port(9004, "scheduler-plaintxt-port", "SELDON_SCHEDULER_PORT")
    """Its port for gateways."""
    envoy_host: str = setting("127.0.0.1", "envoy-host", "SELDON_ENVOY_HOST")
    """The Envoy that models are asked through."""
    envoy_port: int = port(9000, "envoy-port", "SELDON_ENVOY_PORT")
    """Its port for inference."""

    max_num_consumers: ConsumerCount = setting(
        DEFAULT_MAX_CONSUMERS, "max-num-consumers", "PIPELINEGATEWAY_MAX_NUM_CONSUMERS"
    )
    """Accepted because deployments set it: this gateway has one consumer, whatever the number of pipelines."""
    timeout_ms: int = setting(60_000, "timeout-ms", "PIPELINEGATEWAY_TIMEOUT_MS", ge=1)
    """Milliseconds that a caller waits for its answer at most; callers may ask for less."""
    max_in_flight: int = setting(10_000, "max-in-flight", "PIPELINEGATEWAY_MAX_IN_FLIGHT", ge=1)
    """Requests at once; further ones are refused before their bodies are read."""
    max_in_flight_bytes: int = setting(
        256 * 1024 * 1024, "max-in-flight-bytes", "PIPELINEGATEWAY_MAX_IN_FLIGHT_BYTES", ge=1
    )
    """Bytes of all their bodies together. A request that is alone may be larger."""
    log_level: LogLevel = setting("info", "log-level", "SELDON_LOG_LEVEL")
    """Least severe lines that are logged."""
