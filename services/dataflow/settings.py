"""Settings of the dataflow engine: the documented flags and environment variables."""

from services.dataflow.java_agent import read
from shared.kafka.names import DEFAULT_NAMESPACE
from shared.kafka.settings import KafkaSettings
from shared.settings import LogLevel, port, setting
from shared.tracing.config import TracingConfig
from shared.tracing.settings import TracingSettings


class DataflowSettings(KafkaSettings, TracingSettings):
    """Everything the dataflow engine is told from outside; times in the unit their name says."""

    host: str = setting("0.0.0.0", "host", "DATAFLOW_HOST")
    """Address that the health port is bound to."""
    health_port: int = port(9016, "health-server-port", "DATAFLOW_HEALTH_PORT")
    """HTTP: /live, /ready, /startup and /metrics."""
    upstream_host: str = setting("127.0.0.1", "upstream-host", "SELDON_UPSTREAM_HOST")
    """The scheduler."""
    upstream_port: int = port(9008, "upstream-port", "SELDON_UPSTREAM_PORT")
    """The scheduler's port for dataflow engines."""
    namespace: str = setting(DEFAULT_NAMESPACE, "namespace", "SELDON_POD_NAMESPACE", "POD_NAMESPACE")
    """Part of the names of topics; empty means the default one."""
    replica_id: str = setting("", "replica-id", "DATAFLOW_REPLICA_ID", "SELDON_DATAFLOW_REPLICA_ID")
    """What the scheduler calls this engine; empty: the name of its pod."""
    pod_name: str = setting("seldon-dataflow-engine", "pod-name", "POD_NAME")
    """Name of the pod; unique among dataflow engines."""
    join_window_ms: int = setting(
        60_000, "kafka-join-window-millis", "SELDON_KAFKA_JOIN_WINDOW_MILLIS", ge=1, le=86_400_000
    )
    """How many milliseconds apart records of a join may be whose pipeline names no window."""
    log_level: LogLevel = setting("info", "log-level", "DATAFLOW_LOG_LEVEL", "SELDON_LOG_LEVEL_APP")
    """Least severe lines that are logged."""
    kafka_log_level: LogLevel = setting("warn", "kafka-log-level", "SELDON_LOG_LEVEL_KAFKA", validate_default=True)
    """Least severe lines of the Kafka client."""

    otel_enabled: str = setting("", "otel-javaagent-enabled", "OTEL_JAVAAGENT_ENABLED")
    """Whether to trace. These three names are those of the Java agent, which deployments of such an engine set."""
    otel_endpoint: str = setting("", "otel-exporter-otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT")
    """Receiver of traces, as a URL."""
    otel_protocol: str = setting("", "otel-exporter-otlp-protocol", "OTEL_EXPORTER_OTLP_PROTOCOL")
    """Protocol of that receiver."""

    def tracing(self) -> TracingConfig:
        """What all services are told wins. Raises InvalidInput naming the setting that is wrong."""
        if self.tracing_config_path or self.tracing_config:
            return super().tracing()
        return read(self.otel_enabled, self.otel_endpoint, self.otel_protocol)

    @property
    def name(self) -> str:
        """What the scheduler calls this engine; pipelines and partitions are dealt out by it."""
        return self.replica_id or self.pod_name
