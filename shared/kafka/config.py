"""How to reach Kafka: `kafka.json` and the documented environment variables, the same for every client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from shared.errors import InvalidInput
from shared.kafka.client_settings import Translation, whole_number
from shared.kafka.file import KafkaFile, read_file
from shared.kafka.names import DEFAULT_NAMESPACE, GroupNames, TopicNames
from shared.kafka.security import connection_arguments
from shared.logs import logger

DEFAULT_BOOTSTRAP_SERVERS: Final = "127.0.0.1:9092"
DEFAULT_MESSAGE_MAX_BYTES: Final = 1_000_000_000
_BOOTSTRAP_VARIABLES: Final = ("KAFKA_BOOTSTRAP_SERVERS", "SELDON_KAFKA_BOOTSTRAP_SERVERS")
_HIGHEST_PORT: Final = 65_535
_log = logger("kafka")


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """`connection`, `consumer` and `producer` are keyword arguments of aiokafka's clients."""

    bootstrap_servers: str
    topics: TopicNames = field(default_factory=TopicNames)
    groups: GroupNames = field(default_factory=GroupNames)
    message_max_bytes: int = DEFAULT_MESSAGE_MAX_BYTES
    """Of one record; the same limit on every topic and client."""
    partitions: int = 1
    replication_factor: int = 1
    fetch_wait_ms: int = 500
    """How long the broker may keep a fetch waiting for data."""
    connection: Mapping[str, Any] = field(default_factory=dict)
    consumer: Mapping[str, Any] = field(default_factory=dict)
    producer: Mapping[str, Any] = field(default_factory=dict)


def load_config(path: Path | None, namespace: str, environment: Mapping[str, str]) -> KafkaConfig:
    """From `kafka.json`, if there is one, and variables, which win. An empty namespace means the default one.

    Raises InvalidInput naming the setting that is wrong.
    """
    file = read_file(path) if path is not None else KafkaFile()
    translated = {name: Translation.of(name, options) for name, options in file.sections.items()}
    ignored = sorted({name for section in translated.values() for name in section.ignored})
    if file.debug:
        # That is a setting of another client; of ours, the log level says what it writes.
        ignored.append("debug")
    if ignored:
        _log.info("settings of kafka.json without effect", settings=ignored, file=str(path))
    consumer, producer = translated["consumer"], translated["producer"]
    return KafkaConfig(
        bootstrap_servers=_bootstrap_servers(file, environment),
        topics=TopicNames(file.topic_prefix, namespace or DEFAULT_NAMESPACE),
        groups=GroupNames(file.group_prefix, namespace or DEFAULT_NAMESPACE),
        message_max_bytes=_number(environment, "KAFKA_MESSAGE_MAX_BYTES", _message_limit(translated)),
        partitions=_number(environment, "KAFKA_DEFAULT_NUM_PARTITIONS", file.partitions),
        replication_factor=_number(environment, "KAFKA_DEFAULT_REPLICATION_FACTOR", file.replication_factor),
        fetch_wait_ms=consumer.fetch_wait_ms if consumer.fetch_wait_ms is not None else 500,
        connection=connection_arguments(environment),
        consumer=consumer.arguments,
        producer=producer.arguments,
    )


def _message_limit(sections: Mapping[str, Translation]) -> int:
    limits = [section.message_max_bytes for section in sections.values() if section.message_max_bytes is not None]
    return max(limits, default=DEFAULT_MESSAGE_MAX_BYTES)


def _number(environment: Mapping[str, str], variable: str, otherwise: int) -> int:
    text = environment.get(variable, "").strip()
    return whole_number(variable, text, lowest=1) if text else otherwise


def _bootstrap_servers(file: KafkaFile, environment: Mapping[str, str]) -> str:
    places = [(name, environment.get(name, "")) for name in _BOOTSTRAP_VARIABLES]
    places.append(("bootstrap.servers", file.bootstrap_servers))
    for setting, text in places:
        if servers := [server.strip() for server in text.split(",") if server.strip()]:
            for server in servers:
                _check_server(setting, server)
            return ",".join(servers)
    return DEFAULT_BOOTSTRAP_SERVERS


def _check_server(setting: str, server: str) -> None:
    host, _, port = server.rpartition(":")
    good_port = port.isascii() and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT
    if not good_port or not host or "/" in host or (":" in host and not host.startswith("[")):
        raise InvalidInput.of_field(setting, server, "write host:port, several separated by commas")
