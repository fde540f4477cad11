"""Remotes that operators list in the agent's configuration file, applied at start and whenever the file changes."""

import asyncio
import json
from pathlib import Path
from typing import Any

import yaml

from services.agent.storage.rclone import Rclone
from services.agent.storage.uris import Remote, parse_remote
from shared.errors import InvalidInput, SeldonError
from shared.logs import logger

_log = logger("remotes")
_LOOK_EVERY_SECONDS = 2.0


def parse_config(text: str, is_yaml: bool) -> tuple[list[Remote], list[str]]:
    """The remotes under `rclone.config`, and a sentence for each entry that is not one. Raises InvalidInput."""
    try:
        content: Any = yaml.safe_load(text) if is_yaml else json.loads(text)
    except (ValueError, yaml.YAMLError):
        raise InvalidInput(f"the agent's configuration file is not {'YAML' if is_yaml else 'JSON'}") from None
    section = (content or {}).get("rclone") if isinstance(content or {}, dict) else None
    if section is None:
        return [], []
    if not isinstance(section, dict):
        raise InvalidInput("rclone in the agent's configuration file is not a mapping")
    remotes: dict[str, Remote] = {}
    problems = []
    if section.get("config_secrets"):
        problems.append(
            "rclone.config_secrets names Kubernetes secrets and there is no Kubernetes here: use rclone.config"
        )
    for position, document in enumerate(section.get("config") or []):
        try:
            remote = parse_remote(document)
            remotes[remote.name] = remote
        except InvalidInput as error:
            problems.append(f"rclone.config[{position}]: {error}")
    return list(remotes.values()), problems


class RemotesFile:
    """The configuration file: a path, or a folder with `agent.yaml` in it."""

    def __init__(self, path: Path, rclone: Rclone) -> None:
        self._path = path
        self._rclone = rclone
        self._seen: tuple[int, int, int] | None = None

    async def apply(self) -> None:
        """Bring rclone's remotes in line with the file, if it changed. Mistakes are logged; the rest still counts."""
        file = await asyncio.to_thread(self._locate)
        mark = await asyncio.to_thread(_mark, file)
        if mark == self._seen:
            return
        self._seen = mark
        try:
            text = await asyncio.to_thread(file.read_text) if mark else "{}"
            remotes, problems = parse_config(text, is_yaml=file.suffix in (".yaml", ".yml") or mark is None)
            problems += await self._rclone.replace_remotes(remotes)
        except (OSError, SeldonError, TimeoutError) as error:
            _log.error("remotes not applied", file=str(file), reason=str(error))
            return
        for problem in problems:
            _log.error("remote left out", file=str(file), reason=problem)
        _log.info("remotes applied", file=str(file), names=[remote.name for remote in remotes])

    async def follow(self) -> None:
        """Apply every change, for ever."""
        while True:
            await self.apply()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def _locate(self) -> Path:
        return self._path / "agent.yaml" if self._path.is_dir() else self._path


def _mark(file: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None without a file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
