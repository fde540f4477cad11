"""`kafka.json`: its sections and keys, and a sentence about what is wrong in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from shared.errors import InvalidInput
from shared.kafka.client_settings import whole_number
from shared.kafka.names import DEFAULT_PREFIX

SECTIONS: Final = ("consumer", "producer", "streams")
_SERVERS: Final = "bootstrap.servers"
_KEYS: Final = (_SERVERS, *SECTIONS, "topics", "topicPrefix", "consumerGroupIdPrefix", "debug")
_TOPIC_KEYS: Final = ("numPartitions", "replicationFactor")


@dataclass(frozen=True, slots=True)
class KafkaFile:
    """The content with defaults; `sections` are settings by librdkafka's names, not yet looked at."""

    bootstrap_servers: str = ""
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {name: {} for name in SECTIONS})
    partitions: int = 1
    replication_factor: int = 1
    topic_prefix: str = DEFAULT_PREFIX
    group_prefix: str = ""
    debug: str = ""


def read_file(path: Path) -> KafkaFile:
    """Raises InvalidInput for a file that is missing, no JSON, or has keys or values that it cannot have."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        fix = f"it cannot be read ({error.strerror}): name another file or leave it empty"
        raise InvalidInput.of_field("kafka-config-path", str(path), fix) from None
    except ValueError as error:
        raise InvalidInput.of_field("kafka-config-path", str(path), f"write JSON into it ({error})") from None
    return parse(_object("kafka.json", content))


def parse(content: Mapping[str, Any]) -> KafkaFile:
    for key in content:
        if key not in _KEYS:
            raise InvalidInput.of_field("key of kafka.json", key, f"use only {', '.join(_KEYS)}")
    sections = {name: _object(name, content.get(name, {})) for name in SECTIONS}
    topics = _object("topics", content.get("topics", {}))
    for key in topics:
        if key not in _TOPIC_KEYS:
            raise InvalidInput.of_field("key of topics in kafka.json", key, f"use only {', '.join(_TOPIC_KEYS)}")
    servers = [content.get(_SERVERS, ""), *(section.get(_SERVERS, "") for section in sections.values())]
    return KafkaFile(
        bootstrap_servers=next((_text(_SERVERS, server) for server in servers if server), ""),
        sections={
            name: {setting: value for setting, value in section.items() if setting != _SERVERS}
            for name, section in sections.items()
        },
        partitions=whole_number("topics.numPartitions", topics.get("numPartitions", 1), lowest=1),
        replication_factor=whole_number("topics.replicationFactor", topics.get("replicationFactor", 1), lowest=1),
        topic_prefix=_text("topicPrefix", content.get("topicPrefix", "")) or DEFAULT_PREFIX,
        group_prefix=_text("consumerGroupIdPrefix", content.get("consumerGroupIdPrefix", "")),
        debug=_text("debug", content.get("debug", "")),
    )


def _object(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput.of_field(name, value, "write a JSON object")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput.of_field(name, value, "write text")
    return value
