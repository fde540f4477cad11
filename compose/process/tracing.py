"""What the settings about tracing mean for Envoy, for our services and for the inference servers."""

import json
import re
from pathlib import Path
from typing import Final

from compose.process import rendering
from compose.process.common import digest
from compose.process.home import REPOSITORY, Home
from compose.process.settings import Settings
from shared.errors import InvalidInput
from shared.tracing.config import Enabled, TracingConfig, parse

_ENVOY_BLOCK: Final = REPOSITORY / "compose" / "envoy" / "tracing.yaml"
_PROTOCOL: Final = "grpc"
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_ENDPOINT_FIX: Final = "write host:port of an OTLP gRPC receiver without http://, or leave it empty"
_RATIO_FIX: Final = "write the share of requests to trace as a number from 0 to 1"


def config(settings: Settings) -> TracingConfig:
    """None without an endpoint. Raises InvalidInput naming the setting that is wrong."""
    disable, endpoint = settings["TRACING_DISABLE"], settings["OTEL_EXPORTER_OTLP_ENDPOINT"]
    if disable not in ("true", "false"):
        raise InvalidInput.of_field("TRACING_DISABLE", disable, "write true or false")
    if disable == "true" or not endpoint:
        return None
    ratio = settings["TRACING_RATIO"]
    if not _HOST.fullmatch(endpoint.rpartition(":")[0]) or not _readable(endpoint, "1"):
        raise InvalidInput.of_field("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, _ENDPOINT_FIX)
    if not _readable(endpoint, ratio):
        raise InvalidInput.of_field("TRACING_RATIO", ratio, _RATIO_FIX)
    return Enabled(endpoint, float(ratio))


def config_file(home: Home) -> Path:
    return home.run / "tracing.json"


def file_content(found: Enabled) -> str:
    return _json(found.endpoint, str(found.ratio))


def environment(settings: Settings, home: Home) -> dict[str, str]:
    """For a service of ours. A changed file has to restart it."""
    if config(settings) is None:
        return {}
    return {"TRACING_CONFIG_PATH": str(config_file(home)), "SELDON_CONFIGURATION": digest(config_file(home))}


def dataflow_environment(settings: Settings) -> dict[str, str]:
    """The variables that dataflow engines are configured with elsewhere too."""
    found = config(settings)
    if found is None:
        return {}
    return {
        "OTEL_JAVAAGENT_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{found.endpoint}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": _PROTOCOL,
    }


def mlserver_environment(settings: Settings) -> dict[str, str]:
    """MLServer's own spans, of requests that are traced already: nobody looks for those that ask after its health."""
    found = config(settings)
    if found is None:
        return {}
    return {"MLSERVER_TRACING_SERVER": found.endpoint, "OTEL_TRACES_SAMPLER": "parentbased_always_off"}


def envoy_values(settings: Settings) -> dict[str, str]:
    """What the bootstrap needs; without tracing it has no such block, and nothing connects to the receiver."""
    found = config(settings)
    if found is None:
        return {"ENVOY_TRACING": "null", "OTEL_COLLECTOR_HOST": "127.0.0.1", "OTEL_COLLECTOR_PORT": "4317"}
    host, _, port = found.endpoint.rpartition(":")
    # Envoy counts in millionths, and wants whole ones.
    block = rendering.envoy(_ENVOY_BLOCK.read_text(), {"TRACING_RATIO": f"{found.ratio:.6f}"})
    return {"ENVOY_TRACING": block, "OTEL_COLLECTOR_HOST": host.strip("[]"), "OTEL_COLLECTOR_PORT": port}


def _readable(endpoint: str, ratio: str) -> bool:
    """Whether the services will take it."""
    try:
        parse(_json(endpoint, ratio), "tracing.json")
    except InvalidInput:
        return False
    return True


def _json(endpoint: str, ratio: str) -> str:
    content = {
        "disable": False,
        "otelExporterEndpoint": endpoint,
        "otelExporterProtocol": _PROTOCOL,
        "ratio": ratio,
    }
    return json.dumps(content, indent=2) + "\n"
