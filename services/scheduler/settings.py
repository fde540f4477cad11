"""Settings of the scheduler: flags as existing deployments pass them, or environment variables."""

from pathlib import Path
from typing import Any

from shared.kafka.names import DEFAULT_MAX_CONSUMERS
from shared.kafka.settings import KafkaSettings
from shared.settings import LogLevel, port, setting
from shared.tracing.settings import TracingSettings


def _consumers(flag: str, variable: str) -> Any:
    return setting(DEFAULT_MAX_CONSUMERS, flag, variable, ge=1)


class SchedulerSettings(KafkaSettings, TracingSettings):
    host: str = setting("0.0.0.0", "host", "SCHEDULER_HOST")
    """Address that every port is bound to."""
    scheduler_port: int = port(9004, "scheduler-port", "SCHEDULER_SERVER_PORT")
    """gRPC: the API."""
    agent_port: int = port(9005, "agent-port", "SCHEDULER_AGENT_PORT")
    """gRPC: agents."""
    dataflow_port: int = port(9008, "dataflow-port", "SCHEDULER_DATAFLOW_PORT")
    """gRPC: dataflow engines."""
    xds_port: int = port(9002, "envoy-port", "SCHEDULER_XDS_PORT")
    """gRPC: Envoys."""
    health_port: int = port(9014, "health-probe-port", "SCHEDULER_HEALTH_PORT")
    """HTTP: /live, /ready, /startup, /metrics and /explain."""
    db_path: Path = setting(Path(".seldon/data/scheduler"), "db-path", "SCHEDULER_DB_PATH")
    """Folder of the database with the desired state."""
    settle_seconds: float = setting(10.0, "settle-seconds", "SCHEDULER_SETTLE_SECONDS", ge=0, le=600)
    """How many seconds a restarted scheduler waits at most for the replicas, gateways and engines that it knew."""
    max_shard_count_multiplier: int = setting(1, "max-shard-count-multiplier", "MAX_SHARD_COUNT_MULTIPLIER", ge=1)
    """How many engines or gateways share one pipeline or model at most."""
    model_consumers: int = _consumers("modelgateway-max-num-consumers", "MODELGATEWAY_MAX_NUM_CONSUMERS")
    """Number of consumer groups over which model gateways spread models."""
    pipeline_consumers: int = _consumers("pipelinegateway-max-num-consumers", "PIPELINEGATEWAY_MAX_NUM_CONSUMERS")
    """Number of consumer groups over which pipeline gateways spread pipelines."""
    pipeline_gateway_http_port: int = port(9010, "pipeline-gateway-http-port", "PIPELINEGATEWAY_HTTP_PORT")
    """REST port of pipeline gateways that do not tell their own."""
    pipeline_gateway_grpc_port: int = port(9011, "pipeline-gateway-grpc-port", "PIPELINEGATEWAY_GRPC_PORT")
    """gRPC port of pipeline gateways that do not tell their own."""
    log_level: LogLevel = setting("info", "log-level", "SCHEDULER_LOG_LEVEL")
    """Least severe lines that are logged."""
