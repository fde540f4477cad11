"""The registry of CLI configuration files under `~/.config/seldon/cli`, and the sticky-session file beside it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from services.cli.config_file import CliConfig, parse_config
from shared.errors import InvalidInput

DEPLOYMENT_VARIABLE: Final = "SELDON_DEPLOYMENT"
"""Set by the command of a deployment, to the file with its addresses."""


def folder() -> Path:
    return Path.home() / ".config" / "seldon" / "cli"


@dataclass(frozen=True)
class Registry:
    """Configuration files by key, and which of them is active. Every change makes a new registry."""

    configs: dict[str, str] = field(default_factory=dict)
    active: str = ""

    def add(self, key: str, path: str) -> Self:
        return replace(self, configs={**self.configs, key: path})

    def remove(self, key: str) -> Self:
        rest = {each: path for each, path in self.configs.items() if each != key}
        return replace(self, configs=rest, active="" if self.active == key else self.active)

    def activate(self, key: str) -> Self:
        self.path(key)
        return replace(self, active=key)

    def deactivate(self, key: str) -> Self:
        self.path(key)
        return replace(self, active="" if self.active == key else self.active)

    def path(self, key: str) -> str:
        """Raises InvalidInput for an unknown key."""
        try:
            return self.configs[key]
        except KeyError:
            raise InvalidInput(f"Config key {key} not found") from None


def load_registry() -> Registry:
    """A missing file is an empty registry."""
    path = folder() / "configs.json"
    if not path.exists():
        return Registry()
    try:
        document = json.loads(read_text(path))
        return Registry(
            {str(key): str(value) for key, value in (document.get("configs") or {}).items()},
            str(document.get("active") or ""),
        )
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"{path} is damaged ({error}): correct or remove it") from None


def save_registry(registry: Registry) -> None:
    folder().mkdir(parents=True, exist_ok=True)
    path = folder() / "configs.json"
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"configs": registry.configs, "active": registry.active}, indent=2) + "\n")
    fresh.replace(path)


def active_config() -> CliConfig:
    """What the active file says; nothing when none is active."""
    registry = load_registry()
    if not registry.active:
        return CliConfig()
    path = registry.path(registry.active)
    return parse_config(read_text(Path(path)), path)


def deployment_config(environment: Mapping[str, str]) -> CliConfig | None:
    """The addresses of the deployment whose own command this is; empty before it is deployed.

    None in a command that belongs to no deployment.
    """
    path = environment.get(DEPLOYMENT_VARIABLE)
    if not path:
        return None
    return parse_config(read_text(Path(path)), path) if Path(path).exists() else CliConfig()


def load_session() -> tuple[str, ...]:
    """Route keys of the last successful call. Raises InvalidInput when there was none."""
    return tuple(key for key in read_text(folder() / "session").split(",") if key)


def save_session(routes: tuple[str, ...]) -> None:
    folder().mkdir(parents=True, exist_ok=True)
    (folder() / "session").write_text(",".join(routes))


def read_text(path: Path) -> str:
    """Raises InvalidInput with the operating system's reason."""
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidInput(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"open {path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
