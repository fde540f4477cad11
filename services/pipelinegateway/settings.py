"""Settings of the pipeline gateway: the documented flags and environment variables."""

from typing import Any

from pydantic import AliasChoices, Field, field_validator

from shared.kafka.names import DEFAULT_MAX_CONSUMERS, DEFAULT_NAMESPACE, PIPELINE_GATEWAY
from shared.settings import ServiceSettings


def _setting(default: object, flag: str, *variables: str, **rules: Any) -> Any:
    """A field with its flag (without dashes) and the variables that stand in for it."""
    return Field(default, validation_alias=AliasChoices(flag, *variables), **rules)


def _port(default: int, flag: str, variable: str) -> Any:
    return _setting(default, flag, variable, ge=1, le=65_535)


class PipelineGatewaySettings(ServiceSettings):
    """Everything the pipeline gateway is told from outside; times in the unit their name says."""

    host: str = _setting("0.0.0.0", "host", "PIPELINEGATEWAY_HOST")
    """Address that every port is bound to."""
    http_port: int = _port(9010, "http-port", "PIPELINEGATEWAY_HTTP_PORT")
    grpc_port: int = _port(9011, "grpc-port", "PIPELINEGATEWAY_GRPC_PORT")
    metrics_port: int = _port(9009, "metrics-port", "PIPELINEGATEWAY_METRICS_PORT")
    """HTTP: /live, /ready, /startup and /metrics."""
    pod_ip: str = _setting("127.0.0.1", "pod-ip", "POD_IP", min_length=1)
    """Where Envoy reaches this gateway."""
    pod_name: str = _setting(PIPELINE_GATEWAY, "pod-name", "POD_NAME", min_length=1)
    """Name under which it subscribes to the scheduler; unique among pipeline gateways."""

    scheduler_host: str = _setting("127.0.0.1", "scheduler-host", "SELDON_SCHEDULER_HOST")
    scheduler_port: int = _port(9004, "scheduler-plaintxt-port", "SELDON_SCHEDULER_PORT")
    envoy_host: str = _setting("127.0.0.1", "envoy-host", "SELDON_ENVOY_HOST")
    envoy_port: int = _port(9000, "envoy-port", "SELDON_ENVOY_PORT")
    kafka_config_path: str = _setting("", "kafka-config-path", "KAFKA_CONFIG_PATH")
    namespace: str = _setting(DEFAULT_NAMESPACE, "namespace", "SELDON_POD_NAMESPACE")

    max_num_consumers: int = _setting(
        DEFAULT_MAX_CONSUMERS, "max-num-consumers", "PIPELINEGATEWAY_MAX_NUM_CONSUMERS", ge=1
    )
    """Accepted because deployments set it: this gateway has one consumer, whatever the number of pipelines."""
    timeout_ms: int = _setting(60_000, "timeout-ms", "PIPELINEGATEWAY_TIMEOUT_MS", ge=1)
    """Longest time that a caller waits for its answer; callers may ask for less."""
    max_in_flight: int = _setting(10_000, "max-in-flight", "PIPELINEGATEWAY_MAX_IN_FLIGHT", ge=1)
    log_level: str = _setting("info", "log-level", "SELDON_LOG_LEVEL")

    @field_validator("namespace")
    @classmethod
    def _named(cls, value: str) -> str:
        return value or DEFAULT_NAMESPACE

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        # The names that other parts of such a deployment use, in terms of the standard ones.
        level = {"panic": "critical", "fatal": "critical", "warn": "warning", "trace": "debug"}.get(
            value.lower(), value.lower()
        )
        if level not in ("critical", "error", "warning", "info", "debug"):
            raise ValueError("use one of panic, fatal, error, warn, info, debug, trace")
        return level
