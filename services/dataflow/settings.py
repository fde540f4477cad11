"""Settings of the dataflow engine: the documented flags and environment variables."""

from shared.kafka.names import DEFAULT_NAMESPACE
from shared.kafka.settings import KafkaSettings
from shared.settings import LogLevel, port, setting


class DataflowSettings(KafkaSettings):
    host: str = setting("0.0.0.0", "host", "DATAFLOW_HOST")
    """Address that the health port is bound to."""
    health_port: int = port(9016, "health-server-port", "DATAFLOW_HEALTH_PORT")
    """HTTP: /live, /ready, /startup and /metrics."""
    upstream_host: str = setting("127.0.0.1", "upstream-host", "SELDON_UPSTREAM_HOST")
    """The scheduler."""
    upstream_port: int = port(9008, "upstream-port", "SELDON_UPSTREAM_PORT")
    namespace: str = setting(DEFAULT_NAMESPACE, "namespace", "SELDON_POD_NAMESPACE", "POD_NAMESPACE")
    replica_id: str = setting("", "replica-id", "DATAFLOW_REPLICA_ID", "SELDON_DATAFLOW_REPLICA_ID")
    pod_name: str = setting("seldon-dataflow-engine", "pod-name", "POD_NAME")
    join_window_ms: int = setting(
        60_000, "kafka-join-window-millis", "SELDON_KAFKA_JOIN_WINDOW_MILLIS", ge=1, le=86_400_000
    )
    """How far apart records of a join may be whose pipeline names no window."""
    log_level: LogLevel = setting("info", "log-level", "DATAFLOW_LOG_LEVEL")

    @property
    def name(self) -> str:
        """What the scheduler calls this engine; pipelines and partitions are dealt out by it."""
        return self.replica_id or self.pod_name
