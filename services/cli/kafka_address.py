"""Which Kafka to read, and how its topics are called: flags, files and variables, in the order in which they win."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from services.cli.addresses import KAFKA, find
from services.cli.config_file import CliConfig
from shared.kafka.config import KafkaConfig, load_config
from shared.kafka.names import DEFAULT_NAMESPACE, TopicNames

_SERVERS: Final = "KAFKA_BOOTSTRAP_SERVERS"


def kafka_config(
    broker: str | None,
    path: str | None,
    namespace: str | None,
    config: CliConfig,
    environment: Mapping[str, str],
    deployment: CliConfig | None,
) -> KafkaConfig:
    """The first three are flags, None where they are not given. Raises InvalidInput naming what is wrong.

    Brokers: the flag, kafka.json, the active configuration file, SELDON_KAFKA_BROKER, the variables of every client,
    the deployment that the command is of. An empty namespace asks for the one of the active configuration file.
    """
    path = path if path is not None else environment.get("SELDON_KAFKA_CONFIG_PATH", "")
    if broker is None and not path:
        broker = find(KAFKA, None, config, environment, deployment).address
    if namespace is None:
        own = deployment.kafka_namespace if deployment is not None else ""
        namespace = environment.get("POD_NAMESPACE", own or DEFAULT_NAMESPACE)
    variables = {**environment, _SERVERS: broker} if broker else environment
    made = load_config(Path(path) if path else None, namespace or config.kafka_namespace, variables)
    if path or not config.kafka_topic_prefix:
        return made
    return replace(made, topics=TopicNames(config.kafka_topic_prefix, made.topics.namespace))
