"""Settings of the version 1 gateway: the documented flags and environment variables."""

from shared.settings import LogLevel, ServiceSettings, port, setting


class V1GatewaySettings(ServiceSettings):
    """Everything the gateway is told from outside; times in the unit their name says."""

    host: str = setting("0.0.0.0", "host", "V1_GATEWAY_HOST")
    """Address that every port is bound to."""
    http_port: int = port(8000, "http-port", "V1_GATEWAY_HTTP_PORT")
    """REST of both protocols, /live, /ready and /prometheus."""
    grpc_port: int = port(5001, "grpc-port", "V1_GATEWAY_GRPC_PORT")
    """gRPC of both protocols."""
    envoy_host: str = setting("127.0.0.1", "envoy-host", "SELDON_ENVOY_HOST")
    """The Envoy that models and pipelines are asked through."""
    envoy_port: int = port(9000, "envoy-port", "SELDON_ENVOY_PORT")
    """Envoy's port for inference."""
    deployment: str = setting("", "deployment", "V1_GATEWAY_DEPLOYMENT")
    """Model or pipeline that answers where a caller names none; empty: such a call is refused."""
    timeout_ms: int = setting(60_000, "timeout-ms", "V1_GATEWAY_TIMEOUT_MS", ge=1)
    """Milliseconds that a model or a pipeline may take for an answer."""
    max_body_bytes: int = setting(1_000_000_000, "max-body-bytes", "V1_GATEWAY_MAX_BODY_BYTES", ge=1)
    """Bytes of the longest body of a REST request."""
    log_level: LogLevel = setting("info", "log-level", "SELDON_LOG_LEVEL")
    """Least severe lines that are logged."""
