"""The settings of a deployment: `.env`, then the environment, with one offset on every port."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from compose.process.home import REPOSITORY
from shared.errors import InvalidInput

_HIGHEST_PORT = 65_535
_PREFIXES = (
    "SCHEDULER_",
    "ENVOY_",
    "SERVER_",
    "MLSERVER_",
    "TRITON_",
    "AGENT_",
    "KAFKA_",
    "DATAFLOW_",
    "MODELGATEWAY_",
    "PIPELINEGATEWAY_",
    "V1_GATEWAY_",
    "SELDON_",
    "COMPOSE_PROJECT_NAME",
)
_PROFILES = "COMPOSE_PROFILES"
PROFILES = frozenset({"usage", "monitoring", "tracing", "pushgateways", "simplepipe", "gpu", "v1"})
# About where things are or how commands behave, not about a part.
_NOT_SETTINGS = frozenset({"SELDON_HOME", "SELDON_VENVS", "SELDON_SAMPLES", "SELDON_DEPLOYMENT"})


@dataclass(frozen=True)
class Settings:
    """Name to text, offsets applied. Access by name raises InvalidInput for a setting that is missing."""

    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        try:
            return self.values[name]
        except KeyError:
            raise InvalidInput(f"setting {name} is missing: add it to .env") from None

    def port(self, name: str) -> int:
        return int(self[name])

    def number(self, name: str, lowest: int, highest: int) -> int:
        """Raises InvalidInput for what is not a whole number within these bounds."""
        return _number(name, self[name], lowest, highest)

    def has(self, profile: str) -> bool:
        """Is this optional group of parts wanted? Raises InvalidInput when a group is named that there is not."""
        wanted = {name.strip() for name in self[_PROFILES].split(",")} - {""}
        if unknown := wanted - PROFILES:
            raise InvalidInput.of_field(
                _PROFILES, ",".join(sorted(unknown)), f"name some of {', '.join(sorted(PROFILES))}"
            )
        return profile in wanted

    def starting_with(self, prefix: str) -> dict[str, str]:
        return {name: value for name, value in self.values.items() if name.startswith(prefix)}

    @property
    def bind_host(self) -> str:
        return self["BIND_HOST"]

    @property
    def host(self) -> str:
        """Where the parts find each other: the bind address, or loopback when that is every address."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind_host, self.bind_host)


def load(overrides: Mapping[str, str] | None = None, file: Path = REPOSITORY / ".env") -> Settings:
    """Read `file`, then this process's environment, then `overrides`. Raises InvalidInput for a wrong port."""
    written = dotenv_values(file, interpolate=False)
    return resolve(written, os.environ, overrides or {})


def of_deployed(values: Mapping[str, str], file: Path = REPOSITORY / ".env") -> Settings:
    """The settings that something was deployed with, whatever file and environment say by now.

    What `file` has got since is added, since parts may ask for it.
    """
    try:
        added = resolve(dotenv_values(file, interpolate=False), {}, {}).values
    except InvalidInput:
        added = {}
    return Settings({**added, **values})


def resolve(
    written: Mapping[str, str | None], environment: Mapping[str, str], overrides: Mapping[str, str]
) -> Settings:
    """Later mappings win. The environment may also set what is not written, when it begins like a part's setting."""
    values = {name: value or "" for name, value in written.items()}
    for name, value in environment.items():
        if (name in values or _is_setting(name)) and not _of_another_program(name, value):
            values[name] = value
    values.update(overrides)
    offset = _number("SELDON_PORT_OFFSET", values.get("SELDON_PORT_OFFSET", "0"), 0)
    for name, value in values.items():
        if name.endswith("_PORT"):
            values[name] = str(_number(name, value, 1) + offset)
            if int(values[name]) > _HIGHEST_PORT:
                fix = f"with SELDON_PORT_OFFSET={offset} it must stay below {_HIGHEST_PORT + 1}"
                raise InvalidInput.of_field(name, int(value), fix)
    return Settings(values)


def _is_setting(name: str) -> bool:
    # A port that nothing here reads was put into the environment by something else, a container platform for example.
    return name.startswith(_PREFIXES) and not name.endswith("_PORT") and name not in _NOT_SETTINGS


def _of_another_program(name: str, value: str) -> bool:
    """Many set KAFKA to the address of a broker; ours names a kind."""
    return name == "KAFKA" and ":" in value


def _number(name: str, value: str, lowest: int, highest: int = _HIGHEST_PORT) -> int:
    if not value.isascii() or not value.isdecimal() or not lowest <= int(value) <= highest:
        raise InvalidInput.of_field(name, value, f"write a number from {lowest} to {highest}")
    return int(value)
