"""Tracing as OpenTelemetry's Java agent is told about it: `OTEL_JAVAAGENT_ENABLED` and `OTEL_EXPORTER_OTLP_*`."""

import re
from typing import Final

from shared.errors import InvalidInput
from shared.tracing.config import Enabled, TracingConfig

_SWITCH: Final = {"true": True, "false": False, "": False}
_ENDPOINT: Final = re.compile(r"http://(?P<receiver>(\[[0-9a-fA-F:.]+\]|[^/:@\s]+):(?P<port>[0-9]{1,5}))/?")
_HIGHEST_PORT: Final = 65_535


def read(enabled: str, endpoint: str, protocol: str) -> TracingConfig:
    """Off unless `enabled`; then the other two have to be right. Raises InvalidInput naming the wrong one.

    There is no ratio: the engine begins no traces, it goes on with those that are sampled.
    """
    if enabled.strip().lower() not in _SWITCH:
        raise InvalidInput.of_field("OTEL_JAVAAGENT_ENABLED", enabled, "write true or false")
    if not _SWITCH[enabled.strip().lower()]:
        return None
    found = _ENDPOINT.fullmatch(endpoint.strip())
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        fix = "write http://host:port of an OTLP gRPC receiver, as in http://otel-collector:4317"
        raise InvalidInput.of_field("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, fix)
    if protocol.strip().lower() not in ("", "grpc"):
        raise InvalidInput.of_field("OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "write grpc, which is all that is spoken")
    return Enabled(found["receiver"])
