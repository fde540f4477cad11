"""Which address wins, and why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.cli.config_file import CliConfig
from shared.errors import InvalidInput


@dataclass(frozen=True)
class Place:
    """What commands talk to. The first of `variables` wins; `field` is of CliConfig, `default` is host:port."""

    name: str
    flag: str
    variables: tuple[str, ...]
    field: str
    default: str


@dataclass(frozen=True)
class Found:
    address: str
    because: str
    """Who named it, for people."""


SCHEDULER: Final = Place("scheduler", "--scheduler-host", ("SELDON_SCHEDULE_HOST",), "scheduler_host", "0.0.0.0:9004")
SCHEDULER_HTTP: Final = Place(
    "scheduler over HTTP",
    "--scheduler-http-host",
    ("SELDON_SCHEDULER_HTTP_HOST",),
    "scheduler_http_host",
    "0.0.0.0:9014",
)
INFERENCE: Final = Place("data plane", "--inference-host", ("SELDON_INFER_HOST",), "infer_host", "0.0.0.0:9000")
_OF_KAFKA: Final = ("SELDON_KAFKA_BROKER", "KAFKA_BOOTSTRAP_SERVERS", "SELDON_KAFKA_BOOTSTRAP_SERVERS")
KAFKA: Final = Place("kafka", "--kafka-broker", _OF_KAFKA, "kafka_bootstrap", "127.0.0.1:9092")
PLACES: Final = (SCHEDULER, INFERENCE, SCHEDULER_HTTP, KAFKA)


def find(
    place: Place,
    flag: str | None,
    config: CliConfig,
    environment: Mapping[str, str],
    deployment: CliConfig | None,
) -> Found:
    """Flag, then active configuration file, then environment variable, then the deployment that the command is of.

    `deployment` is None for a command of none, and empty before it was deployed: then nothing may be guessed, since
    whatever answers at the default address is somebody else's. Raises InvalidInput.
    """
    if flag is not None:
        return Found(flag, place.flag)
    if configured := getattr(config, place.field):
        return Found(configured, "the active configuration")
    for variable in place.variables:
        if named := environment.get(variable):
            return Found(named, variable)
    if deployment is None:
        return Found(place.default, "default")
    if own := getattr(deployment, place.field):
        return Found(own, "the deployment of this command")
    raise InvalidInput(
        f"nothing was deployed yet where this command belongs to, so there is no {place.name} to talk to: "
        f"run `make deploy-local` there, or name one with {place.flag}, {place.variables[0]} or `seldon config`"
    )
