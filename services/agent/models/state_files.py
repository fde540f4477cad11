"""What the agent holds, kept on disk so that a restarted agent takes its models up again instead of losing them."""

import os
from pathlib import Path

from google.protobuf import json_format
from mlops.agent import agent_pb2

from shared.logs import logger

_log = logger("state-files")


class StateFiles:
    """One JSON file per internal name with the model's definition. Every method blocks: run it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, internal: str, definition: agent_pb2.ModelVersion) -> None:
        """On return the file is complete; at any moment before, the former one is."""
        fresh = self._folder / f"{internal}.new"
        with fresh.open("w") as file:
            file.write(json_format.MessageToJson(definition))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._folder / f"{internal}.json")

    def remove(self, internal: str) -> None:
        (self._folder / f"{internal}.json").unlink(missing_ok=True)

    def read_all(self) -> dict[str, agent_pb2.ModelVersion]:
        """All definitions by internal name. An unreadable file is logged, removed and left out."""
        found = {}
        for file in self._folder.glob("*.json"):
            try:
                found[file.stem] = json_format.Parse(
                    file.read_text(), agent_pb2.ModelVersion(), ignore_unknown_fields=True
                )
            except (json_format.ParseError, UnicodeDecodeError) as error:
                _log.error("unreadable state file removed", file=str(file), reason=str(error))
                file.unlink()
        return found
