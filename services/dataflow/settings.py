"""Settings of the dataflow engine: the documented flags and environment variables."""

import dataclasses
import os
from pathlib import Path
from typing import ClassVar, Final

from services.dataflow.core.valve import DEFAULT_MOST_BYTES, DEFAULT_MOST_REQUESTS
from services.dataflow.java_agent import read
from shared.control_plane import TLS_WITHOUT_EFFECT, ControlPlaneSettings
from shared.foreign_settings import WithoutEffect
from shared.kafka.config import KafkaConfig, load_config
from shared.kafka.names import DEFAULT_NAMESPACE, GroupNames
from shared.kafka.settings import KafkaSettings
from shared.settings import LogLevel, port, setting
from shared.tracing.config import TracingConfig
from shared.tracing.settings import TracingSettings

_TOPICS: Final = "topics are made and looked up with the time limits of the Kafka client, again and again"
_ONE_LOOP: Final = "an engine is one event loop: run several engines for more cores"
_SECURITY: Final = "write KAFKA_CLIENT_TLS_*, KAFKA_BROKER_TLS_* or KAFKA_*SASL_*, as for all services"


class DataflowSettings(KafkaSettings, TracingSettings, ControlPlaneSettings):
    """Everything the dataflow engine is told from outside; times in the unit their name says."""

    without_effect = (
        WithoutEffect("kafka-state-clean", "an engine keeps no state on disk", "SELDON_KAFKA_STATE_CLEAN"),
        WithoutEffect("topic-create-timeout-millis", _TOPICS, "SELDON_TOPIC_CREATE_TIMEOUT_MILLIS"),
        WithoutEffect("topic-describe-timeout-millis", _TOPICS, "SELDON_TOPIC_DESCRIBE_TIMEOUT_MILLIS"),
        WithoutEffect("topic-describe-retry-attempts", _TOPICS, "SELDON_TOPIC_DESCRIBE_RETRY_ATTEMPTS"),
        WithoutEffect("topic-describe-retry-delay-millis", _TOPICS, "SELDON_TOPIC_DESCRIBE_RETRY_DELAY_MILLIS"),
        WithoutEffect("pipeline-ctlops-threads", _ONE_LOOP, "SELDON_PIPELINE_CTLOPS_THREADS"),
        WithoutEffect("cores-count", _ONE_LOOP, "SELDON_CORES_COUNT"),
        WithoutEffect("", _SECURITY, "SELDON_KAFKA_TLS_*"),
        WithoutEffect("", _SECURITY, "SELDON_KAFKA_SASL_*"),
        WithoutEffect("", "records hold no schema ids", "SELDON_KAFKA_SCHEMA_REGISTRY_CONFIG_PATH"),
        *TLS_WITHOUT_EFFECT,
    )
    other_flags: ClassVar = {"pod-namespace": "namespace", "dataflow-replica-id": "replica-id"}

    host: str = setting("0.0.0.0", "host", "DATAFLOW_HOST")
    """Address that the health port is bound to."""
    health_port: int = port(9016, "health-server-port", "DATAFLOW_HEALTH_PORT", "SELDON_HEALTH_SERVER_PORT")
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
    bootstrap_servers: str = setting("", "kafka-bootstrap-servers", "SELDON_KAFKA_BOOTSTRAP_SERVERS")
    """Brokers. This and the next five are names of this engine alone; what all services are told wins."""
    group_prefix: str = setting("", "kafka-consumer-prefix", "SELDON_KAFKA_CONSUMER_PREFIX")
    """What the names of consumer groups begin with."""
    partitions: str = setting("", "kafka-partitions-default", "SELDON_KAFKA_PARTITIONS_DEFAULT")
    """Partitions of new topics."""
    replication_factor: str = setting("", "kafka-replication-factor", "SELDON_KAFKA_REPLICATION_FACTOR")
    """Copies that brokers keep of new topics."""
    message_max_bytes: str = setting("", "kafka-max-message-size-bytes", "SELDON_KAFKA_MAX_MESSAGE_SIZE_BYTES")
    """Longest record."""
    security_protocol: str = setting("", "kafka-security-protocol", "SELDON_KAFKA_SECURITY_PROTOCOL")
    """How to connect to the brokers."""
    join_window_ms: int = setting(
        60_000, "kafka-join-window-millis", "SELDON_KAFKA_JOIN_WINDOW_MILLIS", ge=1, le=86_400_000
    )
    """How many milliseconds apart records of a join may be whose pipeline names no window."""
    most_requests: int = setting(DEFAULT_MOST_REQUESTS, "max-in-flight", "DATAFLOW_MAX_IN_FLIGHT", ge=1)
    """Requests that this engine works on at a time; further ones wait in Kafka."""
    most_bytes: int = setting(DEFAULT_MOST_BYTES, "max-in-flight-bytes", "DATAFLOW_MAX_IN_FLIGHT_BYTES", ge=1)
    """The same for the bytes of their records."""
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

    def kafka_config(self) -> KafkaConfig:
        """Raises InvalidInput naming the setting that is wrong."""
        named = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_DEFAULT_NUM_PARTITIONS": self.partitions,
            "KAFKA_DEFAULT_REPLICATION_FACTOR": self.replication_factor,
            "KAFKA_MESSAGE_MAX_BYTES": self.message_max_bytes,
            "KAFKA_SECURITY_PROTOCOL": self.security_protocol,
        }
        set_for_all = {name: value for name, value in os.environ.items() if value}
        path = Path(self.kafka_config_path) if self.kafka_config_path else None
        config = load_config(path, self.namespace, {**named, **set_for_all})
        if config.groups.prefix or not self.group_prefix:
            return config
        return dataclasses.replace(config, groups=GroupNames(self.group_prefix, config.groups.namespace))

    def tracing(self) -> TracingConfig:
        """What all services are told wins. Raises InvalidInput naming the setting that is wrong."""
        if self.tracing_config_path or self.tracing_config:
            return super().tracing()
        return read(self.otel_enabled, self.otel_endpoint, self.otel_protocol)

    @property
    def name(self) -> str:
        """What the scheduler calls this engine; pipelines and partitions are dealt out by it."""
        return self.replica_id or self.pod_name
