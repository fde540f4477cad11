"""A deployment in containers, with the same interface as the one in plain processes."""

import hashlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import yaml

from compose import ports, remembered
from compose.containers import engine
from compose.containers.inspection import name_of, rows, service_of
from compose.process.home import REPOSITORY, Home
from compose.process.settings import PROFILES, Settings, load, of_deployed
from compose.progress import Report
from compose.status import PartStatus, wait_ready
from shared.errors import InvalidInput, NotFound, Unavailable

_PROJECT: Final = "COMPOSE_PROJECT_NAME"
_REPLICATED: Final = ("DATAFLOW", "MODELGATEWAY", "PIPELINEGATEWAY")
_POLL_SECONDS: Final = 0.5
"""Looking takes two calls of Docker's command line, and health checks run every few seconds only."""
_LABEL: Final = "com.docker.compose.project"
_LONGEST_NAME: Final = 30


class ContainerStack:
    """All containers of one Compose project. Objects hold no state of it: any number may speak for the same `home`.

    The project is named after `home` unless COMPOSE_PROJECT_NAME says otherwise, so that two checkouts share none.
    `home` defaults to SELDON_HOME or `.seldon`; `installed_in` is another home whose environments to use; `port_offset`
    and `env` win over `.env` and the environment, `settings` over all of these.

    Raises Unavailable when no Docker engine answers.
    """

    def __init__(
        self,
        home: Path | None = None,
        port_offset: int | None = None,
        env: Mapping[str, str] | None = None,
        installed_in: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._compose: Final = engine.find_compose()
        self._overrides = overrides = dict(env or {})
        if port_offset is not None:
            overrides["SELDON_PORT_OFFSET"] = str(port_offset)
        self._left_out: frozenset[str] = frozenset()
        self.home = Home.of(os.environ, home, installed_in)
        self.settings = settings or load(overrides)

    @classmethod
    def deployed(cls) -> Self:
        """What was deployed in this home, whatever settings say now; where nothing was, what would be."""
        found = remembered.recall(Home.of(os.environ), "compose")
        if found is None:
            return cls()
        made = cls(settings=of_deployed(found.values))
        made._left_out = frozenset(found.left_out)
        return made

    def with_settings(self, env: Mapping[str, str]) -> Self:
        """The same deployment as it is to be under other settings; nothing changes before `up`."""
        made = type(self)(self.home.root, env={**self._overrides, **env}, installed_in=self.home.venvs.parent)
        made._left_out = self._left_out
        return made

    @property
    def project(self) -> str:
        return self.settings.values.get(_PROJECT) or project_of(self.home.root)

    def up(self) -> list[str]:
        """Create and start what does not run, and replace what changed; gives all names. Does not wait."""
        if not self.exists():
            self._refuse_taken_ports()
        remembered.remember(self.home, "compose", self.settings, self._left_out)
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
        if part in self._services:
            self._output("up", "--detach", "--no-deps", part)
        else:
            engine.run(("docker", "start", self._replica(part)))

    def stop(self, part: str) -> None:
        """It stays stopped until it is started. Raises InvalidInput for what is not a part."""
        if part in self._services:
            self._output("stop", part)
        else:
            engine.run(("docker", "stop", self._replica(part)))

    def down(self, purge: bool = False) -> None:
        """Remove every container and the network; `purge` also removes volumes: models, database and records."""
        # Those of profiles that are switched off now may still run.
        everything = {**self._environment(), "COMPOSE_PROFILES": ",".join(PROFILES)}
        command = (*self._compose, "down", "--remove-orphans", *(["--volumes"] if purge else []))
        engine.run(command, everything, str(REPOSITORY))
        remembered.forget(self.home, "compose")

    def wait_ready(self, timeout: float = 240.0, report: Report | None = None) -> None:
        """Return when every container is healthy; `timeout` in seconds. `report` is told at every look.

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

    def _replica(self, part: str) -> str:
        """Id of the container of a further replica, such as dataflow-2, which is no service of its own."""
        found = {name_of(container): container["Id"] for container in self._containers()}
        return found[part] if part in found else self._known(part)

    def _refuse_taken_ports(self) -> None:
        """Compose would say so as well, but half of the containers would run then."""
        published = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
        ports.refuse_taken(
            {name: [self.port(port) for port in published_ports(published[name])] for name in self._services},
            self.settings,
        )

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
        named = {_PROJECT: self.project}
        return engine.clean_environment({**os.environ, **self.settings.values, **more, **named})


def project_of(root: Path) -> str:
    """The name of the Compose project of the home `root`, another one for every home."""
    readable = re.sub("[^a-z0-9]+", "-", root.parent.name.lower()).strip("-")[:_LONGEST_NAME]
    return "-".join(filter(None, ("seldon", readable, hashlib.sha256(os.fsencode(root)).hexdigest()[:8])))


def published_ports(service: Mapping[str, Any]) -> list[str]:
    """Names of the settings whose ports a service of docker-compose.yml has on this machine."""
    return [name for entry in service.get("ports", ()) for name in re.findall(r"^\$\{BIND_HOST\}:\$\{(\w+)\}", entry)]
