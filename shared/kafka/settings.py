"""The settings of every service that has to do with Kafka, read the same way by each."""

import os
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from shared.kafka.config import KafkaConfig, load_config
from shared.kafka.names import DEFAULT_MAX_CONSUMERS, DEFAULT_NAMESPACE
from shared.settings import ServiceSettings, setting

ConsumerCount: TypeAlias = Annotated[int, AfterValidator(lambda count: count if count > 0 else DEFAULT_MAX_CONSUMERS)]
"""A number of consumer groups; 0 and below mean the default."""


class KafkaSettings(ServiceSettings):
    """Base of their settings; the rest is in `kafka.json` and the documented variables."""

    kafka_config_path: str = setting("", "kafka-config-path", "KAFKA_CONFIG_PATH")
    """File `kafka.json`; empty when environment variables say everything."""
    namespace: str = setting(DEFAULT_NAMESPACE, "namespace", "SELDON_POD_NAMESPACE", "POD_NAMESPACE")
    """Part of the names of topics; empty means the default one."""

    def kafka_config(self) -> KafkaConfig:
        """Raises InvalidInput naming the setting that is wrong."""
        path = Path(self.kafka_config_path) if self.kafka_config_path else None
        return load_config(path, self.namespace, os.environ)
