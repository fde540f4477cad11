"""Settings of the scheduler: flags as existing deployments pass them, or environment variables."""

from pathlib import Path
from typing import ClassVar, Final

from services.scheduler.core.scaling import owners_per_key
from shared import timing
from shared.control_plane import TLS_WITHOUT_EFFECT, ControlPlaneSettings, PlaintextAllowed
from shared.errors import InvalidInput
from shared.foreign_settings import WithoutEffect
from shared.kafka.names import DEFAULT_MAX_CONSUMERS
from shared.kafka.settings import ConsumerCount, KafkaSettings
from shared.settings import LogLevel, port, setting
from shared.tracing.settings import TracingSettings

_NO_TLS: Final = "there is no TLS, so there is no port for it"
_NO_SCALING: Final = "nothing is scaled by load here"
_NO_PPROF: Final = "profile a Python process from outside, with py-spy for instance"
_ACCESS_LOG: Final = "Envoy's access log is set in its own bootstrap"
_RETRIES: Final = "what failed is tried again for ever, at growing intervals"


class SchedulerSettings(KafkaSettings, TracingSettings, ControlPlaneSettings):
    without_effect = (
        WithoutEffect("scheduler-mtls-port", _NO_TLS),
        WithoutEffect("agent-mtls-port", _NO_TLS),
        WithoutEffect("nodeID", "every Envoy is served, whatever its node id"),
        WithoutEffect("pipeline-gateway-host", "pipeline gateways tell where they are"),
        WithoutEffect("enable-model-autoscaling", _NO_SCALING, "ENABLE_MODEL_AUTOSCALING", switch=True),
        WithoutEffect("enable-server-autoscaling", _NO_SCALING, "ENABLE_SERVER_AUTOSCALING", switch=True),
        WithoutEffect("server-packing-enabled", _NO_SCALING, "SERVER_PACKING_ENABLED", switch=True),
        WithoutEffect("server-packing-percentage", _NO_SCALING, "SERVER_PACKING_PERCENTAGE"),
        WithoutEffect("deleted-resource-ttl-seconds", "what was deleted is remembered for a day"),
        WithoutEffect("envoy-accesslog-path", _ACCESS_LOG, "ENVOY_ACCESSLOG_PATH"),
        WithoutEffect("enable-envoy-accesslog", _ACCESS_LOG, "ENABLE_ENVOY_ACCESSLOG", switch=True),
        WithoutEffect(
            "include-successful-requests-envoy-accesslog",
            _ACCESS_LOG,
            "INCLUDE_SUCCESSFUL_REQUESTS_ENVOY_ACCESSLOG",
            switch=True,
        ),
        WithoutEffect("retry-creating-failed-pipelines-tick", _RETRIES, "RETRY_CREATING_FAILED_PIPELINES_TICK"),
        WithoutEffect("retry-deleting-failed-pipelines-tick", _RETRIES, "RETRY_DELETING_FAILED_PIPELINES_TICK"),
        WithoutEffect("max-retry-failed-pipelines", _RETRIES, "MAX_RETRY_FAILED_PIPELINES"),
        WithoutEffect("enable-pprof", _NO_PPROF, "ENABLE_PPROF", switch=True),
        WithoutEffect("pprof-port", _NO_PPROF, "PPROF_PORT"),
        WithoutEffect("pprof-block-rate", _NO_PPROF, "PPROF_BLOCK_RATE"),
        WithoutEffect("pprof-mutex-rate", _NO_PPROF, "PPROF_MUTEX_RATE"),
        *TLS_WITHOUT_EFFECT,
    )
    other_flags: ClassVar = {"scheduler-ready-timeout-seconds": "settle-seconds"}

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
    health_port: int = port(9014, "health-probe-port", "SCHEDULER_HEALTH_PORT", "HEALTH_PROBE_PORT")
    """HTTP: /live, /ready, /startup, /metrics and /explain."""
    db_path: Path = setting(Path(".seldon/data/scheduler"), "db-path", "SCHEDULER_DB_PATH")
    """Folder of the database with the desired state."""
    settle_seconds: float = setting(
        10.0, "settle-seconds", "SCHEDULER_SETTLE_SECONDS", "SCHEDULER_READY_TIMEOUT_SECONDS", ge=0, le=3600
    )
    """How many seconds a restarted scheduler waits at most for the replicas, gateways and engines that it knew."""
    connect_retry_seconds: float = setting(
        timing.RETRY_SECONDS, "connect-retry-seconds", "SCHEDULER_CONNECT_RETRY_SECONDS", ge=0, le=60
    )
    """For how long Envoy tries again to reach a model's servers or a pipeline's gateway before a caller sees 503."""
    max_shard_count_multiplier: int = setting(1, "max-shard-count-multiplier", "MAX_SHARD_COUNT_MULTIPLIER", ge=1)
    """How many engines or gateways share one pipeline or model at most."""
    scaling_config_path: str = setting("", "scaling-config-path", "SCALING_CONFIG_PATH")
    """File `scaling.json`, or a folder with `scaling.yaml`, that may say the same; the setting above wins."""
    model_consumers: ConsumerCount = setting(
        DEFAULT_MAX_CONSUMERS, "modelgateway-max-num-consumers", "MODELGATEWAY_MAX_NUM_CONSUMERS"
    )
    """Number of consumer groups over which model gateways spread models."""
    pipeline_consumers: ConsumerCount = setting(
        DEFAULT_MAX_CONSUMERS, "pipelinegateway-max-num-consumers", "PIPELINEGATEWAY_MAX_NUM_CONSUMERS"
    )
    """Number of consumer groups over which pipeline gateways spread pipelines."""
    pipeline_gateway_http_port: int = port(9010, "pipeline-gateway-http-port", "PIPELINEGATEWAY_HTTP_PORT")
    """REST port of pipeline gateways that do not tell their own."""
    pipeline_gateway_grpc_port: int = port(9011, "pipeline-gateway-grpc-port", "PIPELINEGATEWAY_GRPC_PORT")
    """gRPC port of pipeline gateways that do not tell their own."""
    allow_plaintxt: PlaintextAllowed = setting(True, "allow-plaintxt", "ALLOW_PLAINTXT")
    """Serve without encryption; there is no other way here."""
    log_level: LogLevel = setting("info", "log-level", "SCHEDULER_LOG_LEVEL", "LOG_LEVEL")
    """Least severe lines that are logged."""

    def shard_count_multiplier(self) -> int:
        """Raises InvalidInput for a scaling file that is missing or wrong."""
        if not self.scaling_config_path or "max_shard_count_multiplier" in self.model_fields_set:
            return self.max_shard_count_multiplier
        path = Path(self.scaling_config_path)
        file = path / "scaling.yaml" if path.is_dir() else path
        try:
            told = owners_per_key(file.read_text(), is_yaml=file.suffix in (".yaml", ".yml"))
        except OSError as error:
            fix = f"it cannot be read ({error.strerror}): name another file or leave it empty"
            raise InvalidInput.of_field("scaling-config-path", str(file), fix) from None
        return self.max_shard_count_multiplier if told is None else told
