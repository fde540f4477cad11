"""The Kafka broker of a deployment: Tansu, Apache Kafka, or one that runs elsewhere; and how the parts reach it."""

import json
from pathlib import Path
from typing import Final, Literal, TypeAlias

from compose.kafka import brokers
from compose.process.common import address, digest, installed
from compose.process.home import Home
from compose.process.program import Program
from compose.process.settings import Settings
from shared.errors import InvalidInput

Kind: TypeAlias = Literal["tansu", "apache"]
PART: Final = "kafka"
_SERVERS: Final = ("KAFKA_BOOTSTRAP_SERVERS", "SELDON_KAFKA_BOOTSTRAP_SERVERS")
_FETCH_WAIT_MS: Final = 500
# Tansu does not wake a fetch that waits when a record comes.
_TANSU_FETCH_WAIT_MS: Final = 5
_APACHE_STOP_SECONDS: Final = 15
# It has nothing to save, and would wait some seconds for its clients.
_TANSU_STOP_SECONDS: Final = 1
_HIGHEST_HEAP_MB: Final = 65_536
_HIGHEST_MESSAGE_BYTES: Final = 2_000_000_000


def kind(settings: Settings) -> Kind | None:
    """None when the deployment uses brokers that run elsewhere. Raises InvalidInput."""
    if _elsewhere(settings):
        return None
    match settings["KAFKA"]:
        case "tansu":
            return "tansu"
        case "apache":
            return "apache"
        case other:
            raise InvalidInput.of_field("KAFKA", other, "use tansu or apache, or set KAFKA_BOOTSTRAP_SERVERS")


def program(settings: Settings, home: Home) -> Program | None:
    ports: tuple[int, ...] = (settings.port("KAFKA_BROKER_PORT"),)
    match kind(settings):
        case "tansu":
            command, environment, configuration = brokers.tansu(home.venvs / "main", _listens(settings)), "main", ""
        case "apache":
            node = apache(settings, home)
            command, environment, configuration = node.command(), "kafka", digest(node.config)
            ports = (*ports, node.controller_port)
        case None:
            return None
    return Program(
        name=PART,
        command=command,
        # Tansu takes settings from an .env of its folder or of one above, and ours are not for it.
        directory=home.root if environment == "kafka" else Path("/"),
        ready_url=f"tcp://{address(settings, ports[0])}",
        ports=ports,
        environment={
            "SELDON_CONFIGURATION": configuration,
            "SELDON_INSTALLED": installed(home, environment),
        },
        stop_seconds=_APACHE_STOP_SECONDS if environment == "kafka" else _TANSU_STOP_SECONDS,
        stops_last=True,
    )


def apache(settings: Settings, home: Home) -> brokers.Apache:
    return brokers.Apache(
        environment=home.venvs / "kafka",
        config=home.run / "kafka-server.properties",
        data=home.data / "kafka",
        address=_listens(settings),
        controller_port=settings.port("KAFKA_CONTROLLER_PORT"),
        message_max_bytes=settings.number("KAFKA_MESSAGE_MAX_BYTES", 1, _HIGHEST_MESSAGE_BYTES),
        heap=settings.number("KAFKA_HEAP_MB", 128, _HIGHEST_HEAP_MB),
    )


def servers(settings: Settings) -> str:
    """Addresses of the brokers, as programs of this machine reach them."""
    return _elsewhere(settings) or address(settings, settings.port("KAFKA_BROKER_PORT"))


def config_file(home: Home) -> Path:
    """The kafka.json of every part."""
    return home.run / "kafka.json"


def config(settings: Settings) -> str:
    """The content of kafka.json."""
    wait = _TANSU_FETCH_WAIT_MS if kind(settings) == "tansu" else _FETCH_WAIT_MS
    limit = settings.number("KAFKA_MESSAGE_MAX_BYTES", 1, _HIGHEST_MESSAGE_BYTES)
    content = {
        "bootstrap.servers": servers(settings),
        "consumer": {"fetch.wait.max.ms": wait, "message.max.bytes": limit},
        "producer": {"linger.ms": 0, "message.max.bytes": limit},
        "topics": {
            "numPartitions": settings["KAFKA_DEFAULT_NUM_PARTITIONS"],
            "replicationFactor": settings["KAFKA_DEFAULT_REPLICATION_FACTOR"],
        },
    }
    return json.dumps(content, indent=2) + "\n"


def access(settings: Settings, home: Home) -> dict[str, str]:
    """The environment by which a part reaches the broker; it changes when kafka.json does."""
    return {
        **{name: value for name, value in settings.starting_with("KAFKA_").items() if not name.endswith("_PORT")},
        **settings.starting_with("SELDON_KAFKA_"),
        **settings.starting_with("SELDON_POD_NAMESPACE"),
        "KAFKA_CONFIG_PATH": str(config_file(home)),
        "SELDON_KAFKA_CONFIGURATION": digest(config_file(home)),
    }


def _elsewhere(settings: Settings) -> str:
    return next((text for name in _SERVERS if (text := settings.values.get(name, ""))), "")


def _listens(settings: Settings) -> brokers.Address:
    return brokers.Address(settings.bind_host, settings.host, settings.port("KAFKA_BROKER_PORT"))
