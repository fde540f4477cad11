"""The scaling file: of what it may hold, only how many engines or gateways share a resource matters here."""

import json
from typing import Any

import yaml

from shared.errors import InvalidInput


def owners_per_key(text: str, *, is_yaml: bool) -> int | None:
    """`pipelines.maxShardCountMultiplier`, at least 1; None when the file does not say. Raises InvalidInput."""
    try:
        content: Any = yaml.safe_load(text) if is_yaml else json.loads(text)
    except (ValueError, yaml.YAMLError):
        raise InvalidInput(f"the scaling file is not {'YAML' if is_yaml else 'JSON'}") from None
    pipelines = _mapping("content of the scaling file", content).get("pipelines")
    multiplier = _mapping("pipelines in the scaling file", pipelines).get("maxShardCountMultiplier")
    if multiplier is None:
        return None
    if isinstance(multiplier, bool) or not isinstance(multiplier, int):
        raise InvalidInput.of_field("pipelines.maxShardCountMultiplier", multiplier, "write a whole number")
    return max(1, multiplier)


def _mapping(name: str, value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput.of_field(name, value, "write a mapping")
    return value
