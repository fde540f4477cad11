"""Settings of the scheduler: flags as existing deployments pass them, or environment variables."""

from pathlib import Path

from pydantic import AliasChoices, Field

from shared.kafka.names import DEFAULT_MAX_CONSUMERS, DEFAULT_NAMESPACE
from shared.settings import ServiceSettings


def _port(default: int, flag: str, variable: str) -> int:
    field: int = Field(default, ge=1, le=65_535, validation_alias=AliasChoices(flag, variable))
    return field


def _consumers(flag: str, variable: str) -> int:
    field: int = Field(DEFAULT_MAX_CONSUMERS, ge=1, validation_alias=AliasChoices(flag, variable))
    return field


class SchedulerSettings(ServiceSettings):
    host: str = Field("0.0.0.0", validation_alias=AliasChoices("host", "SCHEDULER_HOST"))
    """Address that every port is bound to."""
    scheduler_port: int = _port(9004, "scheduler-port", "SCHEDULER_SERVER_PORT")
    agent_port: int = _port(9005, "agent-port", "SCHEDULER_AGENT_PORT")
    dataflow_port: int = _port(9008, "dataflow-port", "SCHEDULER_DATAFLOW_PORT")
    xds_port: int = _port(9002, "envoy-port", "SCHEDULER_XDS_PORT")
    health_port: int = _port(9014, "health-probe-port", "SCHEDULER_HEALTH_PORT")
    """HTTP: /live, /ready, /startup, /metrics and /explain."""
    db_path: Path = Field(Path(".seldon/data/scheduler"), validation_alias=AliasChoices("db-path", "SCHEDULER_DB_PATH"))
    """Folder of the database with the desired state."""
    settle_seconds: float = Field(
        10.0, ge=0, le=600, validation_alias=AliasChoices("settle-seconds", "SCHEDULER_SETTLE_SECONDS")
    )
    """How long a restarted scheduler waits at most for the replicas, gateways and engines that it knew."""
    kafka_config_path: str = Field("", validation_alias=AliasChoices("kafka-config-path", "KAFKA_CONFIG_PATH"))
    """`kafka.json`, for the names of topics and consumer groups; empty for none."""
    namespace: str = Field(DEFAULT_NAMESPACE, validation_alias=AliasChoices("namespace", "SELDON_POD_NAMESPACE"))
    """Part of the names of topics; empty means the default one."""
    max_shard_count_multiplier: int = Field(
        1, ge=1, validation_alias=AliasChoices("max-shard-count-multiplier", "MAX_SHARD_COUNT_MULTIPLIER")
    )
    """How many engines or gateways share one pipeline or model at most."""
    model_consumers: int = _consumers("modelgateway-max-num-consumers", "MODELGATEWAY_MAX_NUM_CONSUMERS")
    pipeline_consumers: int = _consumers("pipelinegateway-max-num-consumers", "PIPELINEGATEWAY_MAX_NUM_CONSUMERS")
    pipeline_gateway_http_port: int = _port(9010, "pipeline-gateway-http-port", "PIPELINEGATEWAY_HTTP_PORT")
    """Of gateways that do not tell their own."""
    pipeline_gateway_grpc_port: int = _port(9011, "pipeline-gateway-grpc-port", "PIPELINEGATEWAY_GRPC_PORT")
    log_level: str = Field("info", validation_alias=AliasChoices("log-level", "SCHEDULER_LOG_LEVEL"))
