"""The documented tracing configuration: one JSON object, in a file or in a variable."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from shared.errors import InvalidInput

_KEYS: Final = {name.lower(): name for name in ("disable", "otelExporterEndpoint", "otelExporterProtocol", "ratio")}
_HIGHEST_PORT: Final = 65_535
_ENDPOINT_FIX: Final = "write host:port of an OTLP gRPC receiver, as in otel-collector:4317"


@dataclass(frozen=True, slots=True)
class Enabled:
    """Traces that nobody has decided about yet are sampled at `ratio`, from 0 to 1."""

    endpoint: str
    """`host:port` of an OTLP gRPC receiver, without TLS."""
    ratio: float = 1.0


TracingConfig: TypeAlias = Enabled | None
"""None: off."""


def read(path: Path) -> TracingConfig:
    """Raises InvalidInput naming the file and the key that is wrong."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"tracing configuration {path} cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> TracingConfig:
    """`source` is where the text comes from, for errors. Raises InvalidInput naming the key that is wrong."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{source} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{source} has to be a JSON object with the keys {', '.join(_KEYS.values())}")
    values = _by_known_key(found, source)
    disable = values.get("disable", False)
    if not isinstance(disable, bool):
        raise InvalidInput.of_field(f"disable of {source}", disable, "write true or false")
    return None if disable else Enabled(_endpoint(values, source), _ratio(values, source))


def _by_known_key(found: dict[str, Any], source: str) -> dict[str, Any]:
    for key in found:
        if key.lower() not in _KEYS:
            raise InvalidInput(f"unknown key {key!r} in {source}: use {', '.join(_KEYS.values())}")
    return {_KEYS[key.lower()]: value for key, value in found.items()}


def _endpoint(values: dict[str, Any], source: str) -> str:
    endpoint = values.get("otelExporterEndpoint", "")
    host, _, port = endpoint.rpartition(":") if isinstance(endpoint, str) else ("", "", "")
    if not host or "/" in endpoint or not port.isascii() or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise InvalidInput.of_field(f"otelExporterEndpoint of {source}", endpoint, _ENDPOINT_FIX)
    return str(endpoint)


def _ratio(values: dict[str, Any], source: str) -> float:
    ratio = values.get("ratio", "1")
    try:
        number = float(ratio) if isinstance(ratio, str) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        fix = 'write the share of requests to trace as a text from "0" to "1"'
        raise InvalidInput.of_field(f"ratio of {source}", ratio, fix)
    return number
