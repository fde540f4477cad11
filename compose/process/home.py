"""Where a deployment keeps what it writes: one folder, `.seldon` in the checkout unless SELDON_HOME says otherwise."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# Linux takes 107 bytes, and supervisord appends its process id while it binds.
_LONGEST_SOCKET_PATH = 90


@dataclass(frozen=True)
class Home:
    """Absolute paths. Deployments of one machine may share `venvs` and `samples`; everything else is their own."""

    root: Path
    venvs: Path
    samples: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], root: Path | None = None, installed_in: Path | None = None) -> Home:
        """From SELDON_HOME, SELDON_VENVS and SELDON_SAMPLES; `root` and `installed_in` (another home) win."""
        home = (root or Path(environment.get("SELDON_HOME") or REPOSITORY / ".seldon")).absolute()
        installed = (installed_in or home).absolute()
        venvs = None if installed_in else environment.get("SELDON_VENVS")
        samples = None if installed_in else environment.get("SELDON_SAMPLES")
        return cls(
            root=home,
            venvs=Path(venvs or installed / "venvs").absolute(),
            samples=Path(samples or installed / "samples").absolute(),
        )

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Rendered configuration and what only lives as long as the processes."""
        return self.root / "run"

    @property
    def data(self) -> Path:
        """What survives a restart: the scheduler's database and Apache Kafka's records."""
        return self.root / "data"

    @property
    def supervisor_socket(self) -> Path:
        usual = self.run / "supervisor.sock"
        if len(os.fsencode(usual)) <= _LONGEST_SOCKET_PATH:
            return usual
        short = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"seldon-{os.getuid()}-{short}", "supervisor.sock")

    def agent(self, server: str) -> Path:
        """Folder of the agent beside `server`, with the model repository that both use."""
        return self.root / "agents" / server

    def python(self, environment: str) -> Path:
        return self.program(environment, "python")

    def program(self, environment: str, name: str) -> Path:
        return self.venvs / environment / "bin" / name
