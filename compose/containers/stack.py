"""A deployment in containers, with the same interface as the one in plain processes."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Self

import yaml

from compose.containers import engine
from compose.containers.inspection import rows, service_of
from compose.process import settings
from compose.process.home import REPOSITORY, Home
from compose.status import PartStatus, wait_ready
from shared.errors import InvalidInput, NotFound, Unavailable

_PROJECT: Final = "COMPOSE_PROJECT_NAME"
_REPLICATED: Final = ("DATAFLOW", "MODELGATEWAY", "PIPELINEGATEWAY")
_POLL_SECONDS: Final = 0.5
"""Looking takes two calls of Docker's command line, and health checks run every few seconds only."""
_LABEL: Final = "com.docker.compose.project"


class ContainerStack:
    """All containers of one Compose project, named by COMPOSE_PROJECT_NAME. Objects hold no state of it.

    `port_offset` and `env` win over `.env` and the environment. Raises Unavailable when no Docker engine answers.
    """

    def __init__(self, port_offset: int | None = None, env: Mapping[str, str] | None = None) -> None:
        self._compose: Final = engine.find_compose()
        self._overrides = overrides = dict(env or {})
        if port_offset is not None:
            overrides["SELDON_PORT_OFFSET"] = str(port_offset)
        self._left_out: frozenset[str] = frozenset()
        self.home = Home.of(os.environ)
        self.settings = settings.load(overrides)

    def with_settings(self, env: Mapping[str, str]) -> Self:
        """The same deployment as it is to be under other settings; nothing changes before `up`."""
        made = type(self)(env={**self._overrides, **env})
        made._left_out = self._left_out
        return made

    @property
    def project(self) -> str:
        return self.settings[_PROJECT]

    def up(self) -> list[str]:
        """Create and start what does not run, and replace what changed; gives all names. Does not wait."""
        self._output("up", "--detach", "--remove-orphans", "--quiet-pull", *self._services)
        # Compose leaves those alone whose profile was switched off since.
        unwanted = [each["Id"] for each in self._containers() if service_of(each) not in self._services]
        if unwanted:
            engine.run(("docker", "rm", "--force", *unwanted))
        return [row.part for row in self.status()]

    def leave_out_what_cannot_be_had(self) -> dict[str, str]:
        """Optional services to images that are neither here nor to be pulled: this object goes on without them.

        A machine that reaches no registry, or not all of them, still gets everything else.
        """
        services: dict[str, dict[str, Any]] = yaml.safe_load(self._output("config"))["services"]
        missing: dict[str, str] = {}
        for name in self._services:
            image = services[name]["image"]
            if services[name].get("profiles") and not self._is_to_be_had(name, image):
                missing[name] = image
        self._left_out |= missing.keys()
        return missing

    def _is_to_be_had(self, service: str, image: str) -> bool:
        try:
            engine.run(("docker", "image", "inspect", "--format", "{{.Id}}", image))
        except Unavailable:
            try:
                self._output("pull", "--quiet", service)
            except Unavailable:
                return False
        return True

    def exists(self) -> bool:
        """Has this deployment any container, running or not?"""
        return bool(self._containers())

    def build(self) -> None:
        """Make the images of this repository's own services."""
        done = subprocess.run((*self._compose, "build"), env=self._environment(), cwd=REPOSITORY, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)

    def start(self, part: str) -> None:
        """Raises InvalidInput for what is not a part."""
        self._output("up", "--detach", "--no-deps", self._known(part))

    def stop(self, part: str) -> None:
        """It stays stopped until it is started. Raises InvalidInput for what is not a part."""
        self._output("stop", self._known(part))

    def down(self, purge: bool = False) -> None:
        """Remove every container and the network; `purge` also removes volumes: models, database and records."""
        # Those of profiles that are switched off now may still run.
        everything = {**self._environment(), "COMPOSE_PROFILES": ",".join(settings.PROFILES)}
        command = (*self._compose, "down", "--remove-orphans", *(["--volumes"] if purge else []))
        engine.run(command, everything, str(REPOSITORY))

    def wait_ready(self, timeout: float = 240.0, report: Callable[[str], None] | None = None) -> None:
        """Return when every container is healthy; `timeout` in seconds. `report` is told about each change.

        Raises DeadlineExceeded naming the parts that are not and what they wait for.
        """
        wait_ready(self.status, f"{' '.join(self._compose)} logs", timeout, report, _POLL_SECONDS)

    def status(self) -> list[PartStatus]:
        return rows(self._services, self._containers(), datetime.now(UTC))

    def port(self, name: str) -> int:
        """A port by its name in `.env`, offset included."""
        return self.settings.port(name)

    def pid(self, part: str) -> int:
        """Id of the part's first process, as this machine counts. Raises NotFound when it has none."""
        for row in self.status():
            if row.part == part and row.pid:
                return row.pid
        raise NotFound(f"{part} is not running")

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send the part's first process a signal; gives its id. Docker starts again what ends of it.

        The process gets it from outside, as a crash would: what `docker kill` ends counts as stopped by a person.
        """
        pid = self.pid(part)
        os.kill(pid, number)
        return pid

    def logs(self, part: str | None = None) -> None:
        """Follow the logs of one part, or of all, until interrupted."""
        command = (*self._compose, "logs", "--follow", "--tail", "20", *([self._known(part)] if part else []))
        with suppress(KeyboardInterrupt):
            subprocess.run(command, env=self._environment(), cwd=REPOSITORY, check=False)

    def _known(self, part: str) -> str:
        names = self._services
        if part not in names:
            raise InvalidInput.of_field("part", part, f"use one of {', '.join(names)}")
        return part

    @property
    def _services(self) -> list[str]:
        return [name for name in self._declared if name not in self._left_out]

    @cached_property
    def _declared(self) -> list[str]:
        """Services of the profiles that are switched on. Asking takes Compose half a second."""
        return sorted(self._output("config", "--services").split())

    def _containers(self) -> list[dict[str, Any]]:
        found = engine.run(("docker", "ps", "--all", "--quiet", "--filter", f"label={_LABEL}={self.project}")).split()
        inspected: list[dict[str, Any]] = json.loads(engine.run(("docker", "inspect", *found))) if found else []
        return inspected

    def _output(self, *arguments: str) -> str:
        return engine.run((*self._compose, *arguments), self._environment(), str(REPOSITORY))

    def _environment(self) -> dict[str, str]:
        """Compose reads the same `.env`; what was set elsewhere, and the ports with their offset, win over it."""
        more = {f"{kind}_MORE": str(self.settings.number(f"{kind}_REPLICAS", 1, 8) - 1) for kind in _REPLICATED}
        return engine.clean_environment({**os.environ, **self.settings.values, **more})
