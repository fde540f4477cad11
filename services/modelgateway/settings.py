"""Settings of the model gateway: the documented flags and environment variables."""

from typing import Any

from pydantic import AliasChoices, Field, field_validator

from shared.kafka.names import DEFAULT_MAX_CONSUMERS, DEFAULT_NAMESPACE, MODEL_GATEWAY
from shared.settings import ServiceSettings


def _setting(default: object, flag: str, *variables: str, **rules: Any) -> Any:
    """A field with its flag (without dashes) and the variables that stand in for it."""
    return Field(default, validation_alias=AliasChoices(flag, *variables), **rules)


def _port(default: int, flag: str, variable: str) -> Any:
    return _setting(default, flag, variable, ge=1, le=65_535)


class ModelGatewaySettings(ServiceSettings):
    """Everything the model gateway is told from outside; times in the unit their name says."""

    host: str = _setting("0.0.0.0", "host", "MODELGATEWAY_HOST")
    """Address that the health port is bound to."""
    health_port: int = _port(9015, "health-probe-port", "MODELGATEWAY_HEALTH_PORT")
    """HTTP: /live, /ready, /startup and /metrics."""
    pod_name: str = _setting(MODEL_GATEWAY, "pod-name", "POD_NAME", min_length=1)
    """Name under which it subscribes to the scheduler; unique among model gateways."""

    scheduler_host: str = _setting("127.0.0.1", "scheduler-host", "SELDON_SCHEDULER_HOST")
    scheduler_port: int = _port(9004, "scheduler-plaintxt-port", "SELDON_SCHEDULER_PORT")
    envoy_host: str = _setting("127.0.0.1", "envoy-host", "SELDON_ENVOY_HOST")
    envoy_port: int = _port(9000, "envoy-port", "SELDON_ENVOY_PORT")
    kafka_config_path: str = _setting("", "kafka-config-path", "KAFKA_CONFIG_PATH")
    namespace: str = _setting(DEFAULT_NAMESPACE, "namespace", "SELDON_POD_NAMESPACE")

    num_workers: int = _setting(64, "num-workers", "MODELGATEWAY_NUM_WORKERS", ge=1)
    """Calls in flight for one model."""
    worker_timeout_ms: int = _setting(120_000, "worker-timeout-ms", "MODELGATEWAY_WORKER_TIMEOUT_MS", ge=1)
    """Of one inference with all its attempts."""
    max_num_consumers: int = _setting(
        DEFAULT_MAX_CONSUMERS, "max-num-consumers", "MODELGATEWAY_MAX_NUM_CONSUMERS", ge=1
    )
    """Number of consumer groups over which models are spread; the scheduler has to know the same."""
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
