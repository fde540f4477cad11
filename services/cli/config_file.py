"""The CLI configuration file and its schema."""

import json
from dataclasses import dataclass
from typing import Any, Final

from shared.errors import InvalidInput

_SCHEMA: Final[dict[str, dict[str, type]]] = {
    "dataplane": {
        "inferHost": str,
        "tls": bool,
        "skipSSLVerify": bool,
        "keyPath": str,
        "crtPath": str,
        "caPath": str,
    },
    "controlplane": {
        "schedulerHost": str,
        "schedulerHttpHost": str,
        "tls": bool,
        "keyPath": str,
        "crtPath": str,
        "caPath": str,
    },
    "kafka": {"bootstrap": str, "namespace": str, "topicPrefix": str},
}


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files; an empty path means: not given."""

    key_path: str = ""
    crt_path: str = ""
    ca_path: str = ""
    skip_verify: bool = False


@dataclass(frozen=True)
class CliConfig:
    """What a configuration file says; empty or None where it says nothing."""

    infer_host: str = ""
    scheduler_host: str = ""
    scheduler_http_host: str = ""
    dataplane_tls: Tls | None = None
    controlplane_tls: Tls | None = None
    kafka_bootstrap: str = ""
    kafka_namespace: str = ""
    kafka_topic_prefix: str = ""


def parse_config(text: str, path: str) -> CliConfig:
    """Raises InvalidInput that names the file and the field. `path` is for messages only."""
    sections = known_fields(text, path)
    data, control, kafka = (sections.get(name, {}) for name in _SCHEMA)
    return CliConfig(
        infer_host=data.get("inferHost", ""),
        scheduler_host=control.get("schedulerHost", ""),
        scheduler_http_host=control.get("schedulerHttpHost", ""),
        dataplane_tls=_tls(data) if data.get("tls") else None,
        # A key, not the `tls` field, turns TLS on here.
        controlplane_tls=_tls(control) if control.get("keyPath") else None,
        kafka_bootstrap=kafka.get("bootstrap", ""),
        kafka_namespace=kafka.get("namespace", ""),
        kafka_topic_prefix=kafka.get("topicPrefix", ""),
    )


def known_fields(text: str, path: str) -> dict[str, dict[str, Any]]:
    """The file's sections with the fields this tool knows. Raises InvalidInput like `parse_config`."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{path}: must be a JSON object with {', '.join(_SCHEMA)}")
    return {
        section: _checked(document[section], section, fields, path)
        for section, fields in _SCHEMA.items()
        if document.get(section) is not None
    }


def _checked(values: object, section: str, fields: dict[str, type], path: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InvalidInput(f"{path}: invalid {section} {values!r}: must be an object")
    for name, wanted in fields.items():
        if name in values and not isinstance(values[name], wanted):
            fix = "use true or false" if wanted is bool else "use a string"
            raise InvalidInput(f"{path}: invalid {section}.{name} {values[name]!r}: {fix}")
    return {name: values[name] for name in fields if name in values}


def _tls(section: dict[str, Any]) -> Tls:
    return Tls(
        key_path=section.get("keyPath", ""),
        crt_path=section.get("crtPath", ""),
        ca_path=section.get("caPath", ""),
        skip_verify=section.get("skipSSLVerify", False),
    )
