"""Settings of the pipeline gateway: the documented flags and environment variables."""

from shared.kafka.names import DEFAULT_MAX_CONSUMERS, PIPELINE_GATEWAY
from shared.kafka.settings import KafkaSettings
from shared.settings import LogLevel, port, setting
from shared.tracing.settings import TracingSettings


class PipelineGatewaySettings(KafkaSettings, TracingSettings):
    """Everything the pipeline gateway is told from outside; times in the unit their name says."""

    host: str = setting("0.0.0.0", "host", "PIPELINEGATEWAY_HOST")
    """Address that every port is bound to."""
    http_port: int = port(9010, "http-port", "PIPELINEGATEWAY_HTTP_PORT")
    """REST port."""
    grpc_port: int = port(9011, "grpc-port", "PIPELINEGATEWAY_GRPC_PORT")
    """gRPC port."""
    metrics_port: int = port(9009, "metrics-port", "PIPELINEGATEWAY_METRICS_PORT")
    """HTTP: /live, /ready, /startup and /metrics."""
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

    max_num_consumers: int = setting(
        DEFAULT_MAX_CONSUMERS, "max-num-consumers", "PIPELINEGATEWAY_MAX_NUM_CONSUMERS", ge=1
    )
    """Accepted because deployments set it: this gateway has one consumer, whatever the number of pipelines."""
    timeout_ms: int = setting(60_000, "timeout-ms", "PIPELINEGATEWAY_TIMEOUT_MS", ge=1)
    """Milliseconds that a caller waits for its answer at most; callers may ask for less."""
    max_in_flight: int = setting(10_000, "max-in-flight", "PIPELINEGATEWAY_MAX_IN_FLIGHT", ge=1)
    """How many requests may wait for their answers at once."""
    log_level: LogLevel = setting("info", "log-level", "SELDON_LOG_LEVEL")
    """Least severe lines that are logged."""
